"""The reward: how well an image fits its caption, a number in [0, 1].

A convolutional detector predicts, per pictogram, a density map whose sum is a count (as in Lempitsky and Zisserman, Learning To
Count Objects in Images, NIPS 2010), how well things are drawn, and the background. Fixed arithmetic then compares that with the
caption. Both are one module, so that one ONNX file holds them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vocabulary import BACKGROUNDS, PICTOGRAMS, PLURALS, TOKEN_IDS, VOCABULARY


class Detections(NamedTuple):
    """What the detector found in images."""

    density: Tensor  # [batch, pictograms, 16, 16]; sums to the count of each pictogram
    fidelity: Tensor  # [batch, 16, 16] in [0, 1]: how well the thing at this cell is drawn; arbitrary where the density is 0
    background: Tensor  # [batch, backgrounds] logits


class Detector(nn.Module):
    """Finds things in images [batch, 3, 64, 64] in [-1, 1]. Its layers' names are keys of checkpoints and exported weights."""

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

    def forward(self, image: Tensor) -> Detections:
        features = self.trunk(image)
        density = F.softplus(self.mass(features))
        return Detections(density, self.drawn(features)[:, 0].sigmoid(), self.background(features.mean(dim=(2, 3))))


class Residual(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width, 3, dilation=dilation),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class QualityTerms(NamedTuple):
    """The factors of a quality, each [batch] in [0, 1]."""

    things: Tensor  # the requested things are there, in the requested number
    extra: Tensor  # nothing else is there
    relation: Tensor  # the relation holds; 1 when the caption has none
    background: Tensor  # the requested background
    drawn: Tensor  # what is there is drawn well

    def quality(self) -> Tensor:
        """The product of the terms, [batch] in [0, 1]; `things` weighs most."""
        return (
            self.things
            * (0.5 + 0.5 * self.extra)
            * (0.6 + 0.4 * self.relation)
            * (0.5 + 0.5 * self.background)
            * (0.4 + 0.6 * self.drawn)
        )


class Reward(nn.Module):
    """The quality [batch] in [0, 1] of images [batch, 3, 64, 64] in [-1, 1] for padded token ids [batch, tokens]."""

    def __init__(self, detector: Detector | None = None):
        super().__init__()
        self.reader = detector or Detector()  # this name too is part of those keys
        pictograms = {word: index for index, name in enumerate(PICTOGRAMS) for word in (name, PLURALS[name])}
        numbers = {"a": 1.0, "an": 1.0, "two": 2.0, "three": 3.0}
        self.register_buffer("pictogram_of", _one_hot_table(pictograms))
        self.register_buffer("number_of", torch.tensor([numbers.get(word, 0.0) for word in VOCABULARY]))
        self.register_buffer("background_of", _one_hot_table({name: index for index, name in enumerate(BACKGROUNDS)}))

    def forward(self, image: Tensor, input_ids: Tensor) -> Tensor:
        return self.quality_terms(self.reader(image), input_ids).quality()

    def quality_terms(self, detections: Detections, input_ids: Tensor) -> QualityTerms:
        """Compare detections in images with the token ids of their captions."""
        nouns = self.pictogram_of[input_ids]  # [batch, tokens, pictograms], one-hot at nouns
        numbers = self.number_of[F.pad(input_ids, (1, 0))[:, : input_ids.shape[1]]]  # the word before a noun is its number
        wanted = (nouns * numbers[..., None]).sum(dim=1)  # [batch, pictograms]
        requested = (wanted > 0).float()
        found = detections.density.sum(dim=(2, 3))
        present = found.clamp(0, 1)
        exact = (1 - (found - wanted).abs()).clamp(0, 1)
        kinds = requested.sum(dim=1).clamp(min=1)
        things = (requested * (present + exact) / 2).sum(dim=1) / kinds
        extra = torch.exp(-(found * (1 - requested)).sum(dim=1))
        wanted_background = self.background_of[input_ids].sum(dim=1).clamp(0, 1)
        background = (detections.background.softmax(dim=1) * wanted_background).sum(dim=1)
        total = detections.density.sum(dim=1)
        drawn = (total * detections.fidelity).sum(dim=(1, 2)) / total.sum(dim=(1, 2)).clamp(min=1e-3)
        return QualityTerms(things, extra, self._relation(detections, present, nouns, input_ids), background, drawn)

    def _relation(self, detections: Detections, present: Tensor, nouns: Tensor, input_ids: Tensor) -> Tensor:
        """How far the things of the first phrase lie left of, or above, those of the second; 1 without a relation."""
        result = torch.ones(input_ids.shape[0], device=input_ids.device)
        # In "A left of a B", B comes three tokens after "left"; in "A above a B", two tokens after "above". A comes one before.
        for word, distance, axis in (("left", 3, 2), ("above", 2, 3)):
            at = (input_ids == TOKEN_IDS[word]).float()
            first = (at[..., None] * _shift_rows(nouns, 1)).sum(dim=1)
            second = (at[..., None] * _shift_rows(nouns, -distance)).sum(dim=1)
            profile = detections.density.sum(dim=axis)  # [batch, pictograms, cells] along the relation's axis
            holds = _in_order((first[..., None] * profile).sum(dim=1), (second[..., None] * profile).sum(dim=1))
            there = (first * present).sum(dim=1) * (second * present).sum(dim=1)
            requested = at.sum(dim=1).clamp(0, 1)
            result = result * (1 - requested + requested * holds * there)
        return result


def _in_order(first: Tensor, second: Tensor) -> Tensor:
    """How far one density profile lies before another; both are [batch, cells].

    1 when all of the first lies before all of the second, 0 when a unit of the first is as likely after one of the second as
    before it.
    """
    before = first.cumsum(dim=1) - first / 2
    chance = (before * second).sum(dim=1) / (first.sum(dim=1) * second.sum(dim=1)).clamp(min=1e-3)
    return (2 * chance - 1).clamp(0, 1)


def _shift_rows(rows: Tensor, places: int) -> Tensor:
    """Shift [batch, tokens, width] along the tokens: to the right when `places` is positive, otherwise to the left."""
    if places > 0:
        return F.pad(rows, (0, 0, places, 0))[:, : rows.shape[1]]
    return F.pad(rows, (0, 0, 0, -places))[:, -places:]


def _one_hot_table(columns: dict[str, int]) -> Tensor:
    """[vocabulary, columns]: for each word a row with 1 in its column; zeros for all other words."""
    table = torch.zeros(len(VOCABULARY), max(columns.values()) + 1)
    for word, column in columns.items():
        table[TOKEN_IDS[word], column] = 1
    return table


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
