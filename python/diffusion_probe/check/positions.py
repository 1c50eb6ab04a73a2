"""Finds by experiment which rows and positions of attention are the image and the prompt's words.

Three draws with text encoders that look up tokens and with silenced attention, so that every position depends on its own input
alone: what changes with the prompt are its words, and what changes with the noise is the image. Nothing of what the capture
knows about a backbone is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..capture import CaptureError
from .recorder import RecordedCall

# Of as many words, different at each position; every tokenizer has a token for each of them.
PROMPT, OTHER_PROMPT = "two red cat", "three blue dog"
NOISE, OTHER_NOISE = 0, 1  # seeds
CHANGED = 1e-4  # of the largest value
SUMS = 4  # one alone may be equal by chance at one of thousands of positions
Calls = Mapping[str, list[tuple[Tensor, Tensor]]]
"""By layer, the signatures of queries and keys of each of its calls."""


@dataclass(frozen=True)
class Positions:
    """What an experiment found in one layer."""

    calls: list[int]  # which of the layer's calls see the prompt, from 0
    rows: list[int]  # of such a call, those that see the prompt
    image: list[int]  # queries that are positions of the image
    words: list[int]  # keys that are words of the prompt
    keys: int  # the number of keys


class Signatures:
    """A few numbers for each row and position of queries and of keys, by layer and call."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def __call__(self, layer: str, index: int, call: RecordedCall) -> None:
        """Take a recorded call."""
        self.calls.setdefault(layer, []).append((_signature(call.query), _signature(call.key)))


def find_positions(draw: Callable[[str, int], Calls], modules: Mapping[str, nn.Module]) -> dict[str, Positions]:
    """By layer. `draw` takes prompt and seed. Raises CaptureError for a layer in which nothing of the prompt can be found."""
    prompts = [(PROMPT, NOISE), (OTHER_PROMPT, NOISE), (PROMPT, OTHER_NOISE)]
    first, other_prompt, other_noise = (draw(*given) for given in prompts)
    for layer in modules:
        if layer not in first:
            raise CaptureError(f"the layer {layer} made no call of scaled_dot_product_attention: it cannot be checked")
    return {layer: _positions(layer, first[layer], other_prompt[layer], other_noise[layer]) for layer in modules}


def _positions(layer: str, first: list, other_prompt: list, other_noise: list) -> Positions:
    by_prompt = [_changes(one[1], two[1]) for one, two in zip(first, other_prompt, strict=True)]
    by_noise = [_changes(one[1], two[1]) for one, two in zip(first, other_noise, strict=True)]
    words = [prompt & ~noise for prompt, noise in zip(by_prompt, by_noise, strict=True)]
    calls = [index for index, found in enumerate(words) if found.any()]
    if not calls:
        raise CaptureError(f"no key of the layer {layer} depends on the words of the prompt: expected a layer that sees text")
    own = words[calls[0]]
    rows = own.any(dim=1).nonzero().flatten().tolist()
    image = _changes(first[calls[0]][0], other_noise[calls[0]][0])[rows[0]]
    if not image.any():
        raise CaptureError(f"no query of the layer {layer} depends on the noise: expected a layer that sees the image")
    return Positions(calls, rows, _places(image), _places(own[rows[0]]), own.shape[1])


def _changes(one: Tensor, two: Tensor) -> Tensor:
    """Bool [rows, positions]."""
    if one.shape != two.shape:
        raise CaptureError(
            f"{list(one.shape[:2])} and {list(two.shape[:2])} rows and positions for {PROMPT!r} and {OTHER_PROMPT!r}: "
            "expected as many tokens"
        )
    return ((one - two).abs() > CHANGED * one.abs().max()).any(dim=-1)


def _places(found: Tensor) -> list[int]:
    return found.nonzero().flatten().tolist()


def _signature(value: Tensor) -> Tensor:
    """Weighted sums over heads and their numbers: [rows, positions, SUMS]."""
    flat = value.detach().transpose(1, 2).flatten(2).double()
    weights = torch.sin(torch.arange(1, SUMS * flat.shape[2] + 1, device=flat.device, dtype=torch.float64) ** 2)
    return (flat @ weights.unflatten(0, (-1, SUMS))).cpu()
