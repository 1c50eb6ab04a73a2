"""The reward: how well an image fits its caption, a number in [0, 1].

A convolutional network reads the image: where how much of each pictogram is, how well it is drawn, which background. Fixed
arithmetic then compares that with the caption: right things, right numbers, right relation, right background, nothing extra,
well drawn. Both are one module, so one ONNX file holds them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .language import BACKGROUNDS, PICTOGRAMS, PLURALS, TOKEN_IDS, VOCABULARY


class Reading(NamedTuple):
    """What is in an image."""

    mass: Tensor  # [batch, pictograms, 16, 16], sums to the number of things
    drawn: Tensor  # [batch, 16, 16] in [0, 1], meaningful where there is mass
    background: Tensor  # [batch, backgrounds] logits


class Reader(nn.Module):
    """Image [batch, 3, 64, 64] in [-1, 1] to a Reading."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.width = width
        self.trunk = nn.Sequential(
            _conv(3, 32, 3),
            _conv(32, 64, 4, stride=2),
            Residual(64, 1),
            _conv(64, width, 4, stride=2),
            Residual(width, 1),
            Residual(width, 2),
            Residual(width, 1),
            Residual(width, 2),
            Residual(width, 1),
        )
        self.mass = nn.Conv2d(width, len(PICTOGRAMS), 1)
        self.drawn = nn.Conv2d(width, 1, 1)
        self.background = nn.Linear(width, len(BACKGROUNDS))
        nn.init.constant_(self.mass.bias, -6.0)

    def forward(self, image: Tensor) -> Reading:
        features = self.trunk(image)
        mass = F.softplus(self.mass(features))
        return Reading(mass, self.drawn(features)[:, 0].sigmoid(), self.background(features.mean(dim=(2, 3))))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width, 3, dilation=dilation),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Facets(NamedTuple):
    """The parts of a quality, each [batch] in [0, 1]."""

    things: Tensor  # requested things are there, in the requested number
    extra: Tensor  # nothing else is there
    relation: Tensor  # the relation holds (1 where none was asked for)
    background: Tensor
    drawn: Tensor  # what is there is well drawn

    def quality(self) -> Tensor:
        """The one number: a product, in which the things weigh most."""
        return (
            self.things
            * (0.5 + 0.5 * self.extra)
            * (0.6 + 0.4 * self.relation)
            * (0.5 + 0.5 * self.background)
            * (0.4 + 0.6 * self.drawn)
        )


class Reward(nn.Module):
    """Image [batch, 3, 64, 64] in [-1, 1] and padded token ids [batch, tokens] to quality [batch] in [0, 1]."""

    def __init__(self, reader: Reader | None = None):
        super().__init__()
        self.reader = reader or Reader()
        self.register_buffer("pictogram_of", _lookup_pictograms())
        self.register_buffer("number_of", _lookup_numbers())
        self.register_buffer("background_of", _lookup_backgrounds())

    def forward(self, image: Tensor, input_ids: Tensor) -> Tensor:
        return self.facets(self.reader(image), input_ids).quality()

    def facets(self, reading: Reading, input_ids: Tensor) -> Facets:
        """Compare what was read in images with what captions ask for."""
        nouns = self.pictogram_of[input_ids]  # [batch, tokens, pictograms], one-hot at nouns
        numbers = self.number_of[_shift(input_ids, 1)]  # the word before a noun is its number
        wanted = (nouns * numbers[..., None]).sum(dim=1)  # [batch, pictograms]
        asked = (wanted > 0).float()
        found = reading.mass.sum(dim=(2, 3))
        present = found.clamp(0, 1)
        exact = (1 - (found - wanted).abs()).clamp(0, 1)
        groups = asked.sum(dim=1).clamp(min=1)
        things = (asked * (present + exact) / 2).sum(dim=1) / groups
        extra = torch.exp(-(found * (1 - asked)).sum(dim=1))
        wanted_background = self.background_of[input_ids].sum(dim=1).clamp(0, 1)
        background = (reading.background.softmax(dim=1) * wanted_background).sum(dim=1)
        total = reading.mass.sum(dim=1)
        drawn = (total * reading.drawn).sum(dim=(1, 2)) / total.sum(dim=(1, 2)).clamp(min=1e-3)
        return Facets(things, extra, self._relation(reading, present, nouns, input_ids), background, drawn)

    def _relation(self, reading: Reading, present: Tensor, nouns: Tensor, input_ids: Tensor) -> Tensor:
        """How surely the first group lies left of, or above, the second; 1 where no relation was asked for."""
        result = torch.ones(input_ids.shape[0], device=input_ids.device)
        # "A left of a B": B stands three tokens after "left"; "A above a B": two after "above". A stands right before both.
        for word, distance, axis in (("left", 3, 2), ("above", 2, 3)):
            at = (input_ids == TOKEN_IDS[word]).float()
            first = (at[..., None] * _shift_rows(nouns, 1)).sum(dim=1)
            second = (at[..., None] * _shift_rows(nouns, -distance)).sum(dim=1)
            profile = reading.mass.sum(dim=axis)  # [batch, pictograms, cells] along the relation's axis
            holds = _in_order((first[..., None] * profile).sum(dim=1), (second[..., None] * profile).sum(dim=1))
            there = (first * present).sum(dim=1) * (second * present).sum(dim=1)
            asked = at.sum(dim=1).clamp(0, 1)
            result = result * (1 - asked + asked * holds * there)
        return result


def _in_order(first: Tensor, second: Tensor) -> Tensor:
    """For two mass profiles [batch, cells]: 0 where a unit of the first is as likely after as before one of the second, 1 where
    all of the first comes before all of the second."""
    before = first.cumsum(dim=1) - first / 2
    chance = (before * second).sum(dim=1) / (first.sum(dim=1) * second.sum(dim=1)).clamp(min=1e-3)
    return (2 * chance - 1).clamp(0, 1)


def _shift(ids: Tensor, places: int) -> Tensor:
    """Token ids moved `places` to the right, so that index i holds what stood `places` before it."""
    return F.pad(ids, (places, 0))[:, : ids.shape[1]]


def _shift_rows(rows: Tensor, places: int) -> Tensor:
    """[batch, tokens, width] moved along tokens: to the right if positive, to the left if negative."""
    if places > 0:
        return F.pad(rows, (0, 0, places, 0))[:, : rows.shape[1]]
    return F.pad(rows, (0, 0, 0, -places))[:, -places:]


def _lookup_pictograms() -> Tensor:
    table = torch.zeros(len(VOCABULARY), len(PICTOGRAMS))
    for index, name in enumerate(PICTOGRAMS):
        table[TOKEN_IDS[name], index] = 1
        table[TOKEN_IDS[PLURALS[name]], index] = 1
    return table


def _lookup_numbers() -> Tensor:
    table = torch.zeros(len(VOCABULARY))
    for word, number in (("a", 1), ("an", 1), ("two", 2), ("three", 3)):
        table[TOKEN_IDS[word]] = number
    return table


def _lookup_backgrounds() -> Tensor:
    table = torch.zeros(len(VOCABULARY), len(BACKGROUNDS))
    for index, name in enumerate(BACKGROUNDS):
        table[TOKEN_IDS[name], index] = 1
    return table


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
