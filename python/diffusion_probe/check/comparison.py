"""Compares captured maps with those of the whole softmax matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from ..capture import CaptureError
from ..progress import Progress
from .lookup import looked_up
from .positions import NOISE, PROMPT, Calls, Positions, Signatures, find_positions
from .recorder import OnCall, RecordedCall, recorded_calls
from .reference import pooled, softmax
from .report import LayerResult, Report

Draw = Callable[[str, int, OnCall], np.ndarray]
"""Draws a prompt with a seed, and returns captured maps [rows, layers, tokens, height, width]. Attention calls that the
caller passes on by hand go to the third argument; they count where hooks see none."""

ROUNDING = 2**-11  # of float16, as a share of the value


def compare(
    draw: Draw,
    modules: Mapping[str, nn.Module],
    encoders: Sequence[nn.Module],
    size: Callable[[], tuple[int, int]],
    step: int | None,
    images: int | None,
) -> Report:
    """Three draws to find the positions and one to compare.

    `modules`: by layer, in the order of the maps. `size`: after a draw, the image's height and width, for their ratio. `step`:
    which evaluation was captured, from 1; None: the last. `images`: how many were drawn; None: as many as rows see the prompt.
    """
    progress = Progress("check", 0, 4, unit="draw").bar
    hooked: set[str] = set()

    def experiment(prompt: str, seed: int) -> Calls:
        seen, passed = Signatures(), Signatures()
        with looked_up(encoders), recorded_calls(modules, seen, silenced=True):
            draw(prompt, seed, passed)
        hooked.update(seen.calls)
        progress.update()
        return {**passed.calls, **seen.calls}

    calls: dict[str, RecordedCall] = {}

    def keep(layer: str, index: int, call: RecordedCall) -> None:
        wanted = found[layer].calls
        if index == (wanted[-1] if step is None else wanted[step - 1]):
            calls[layer] = call

    def keep_passed(layer: str, index: int, call: RecordedCall) -> None:
        if layer not in hooked:
            keep(layer, index, call)

    with progress:
        found = find_positions(experiment, modules)
        with recorded_calls(modules, keep):
            captured = draw(PROMPT, NOISE, keep_passed)
        progress.update()
    ratio = size()
    return Report(
        tuple(_result(name, captured[:, index], calls[name], found[name], ratio, images) for index, name in enumerate(modules))
    )


def _result(
    layer: str, maps: np.ndarray, call: RecordedCall, found: Positions, ratio: tuple[int, int], images: int | None
) -> LayerResult:
    rows = found.rows[:images]
    shape = (call.query.shape[1], call.query.shape[2], call.key.shape[2])

    def result(difference: float | None, reason: str = "") -> LayerResult:
        return LayerResult(layer, shape, maps.shape[1], difference, reason)

    if len(maps) != len(rows):
        return result(None, f"{len(maps)} rows were captured, {len(rows)} see the prompt")
    choices = [columns for columns in token_choices(found) if len(columns) == maps.shape[1]]
    if not choices:
        return result(None, f"{maps.shape[1]} tokens were captured, the prompt has {len(found.words)} and what ends it")
    exact = torch.stack([reference_maps(call, row, found, image_size(len(found.image), ratio), maps.shape[2:]) for row in rows])
    given = torch.from_numpy(maps.astype(np.float64))
    differences = [_difference(given, exact[:, columns]) for columns in choices]
    return result(min(differences))


def reference_maps(call: RecordedCall, row: int, found: Positions, size: tuple[int, int], grid: Sequence[int]) -> Tensor:
    """Maps of all keys of one row: float64 [keys, *grid], on the CPU."""
    mask = call.mask
    if mask is not None:
        mask = mask.expand(len(call.query), *mask.shape[1:])[row : row + 1]
        mask = mask[:, :, found.image] if mask.shape[2] > 1 else mask
    whole = softmax(call.query[row : row + 1][:, :, found.image], call.key[row : row + 1], mask, call.scale)
    return pooled(whole[0], size, (grid[0], grid[1])).cpu()


def token_choices(found: Positions) -> list[list[int]]:
    """The keys that may be the prompt's tokens: its words, and after each run of words the token that ends the text or not."""
    runs: list[list[int]] = []
    for word in found.words:
        if runs and word == runs[-1][-1] + 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    options = [[run, [*run, run[-1] + 1]] if run[-1] + 1 < found.keys else [run] for run in runs]
    return [[key for run in chosen for key in run] for chosen in product(*options)]


def image_size(positions: int, ratio: tuple[int, int]) -> tuple[int, int]:
    """Height and width in positions: the pair of factors whose ratio is nearest to that of the image."""
    heights = [height for height in range(1, positions + 1) if positions % height == 0]
    height = min(heights, key=lambda height: abs(np.log(height**2 / positions * ratio[1] / ratio[0])))
    if abs(np.log(height**2 / positions * ratio[1] / ratio[0])) > np.log(2):
        raise CaptureError(f"{positions} image positions fit no image of the ratio {ratio[0]} to {ratio[1]}")
    return height, positions // height


def _difference(captured: Tensor, exact: Tensor) -> float:
    """The largest, beyond the rounding of the captured maps to 16 bits."""
    return float(((captured - exact).abs() - exact.abs() * ROUNDING).clamp(min=0).max())
