"""What a probe reads of a step of the reference world: the maps, the mask of the tokens, and the inputs that it declares."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .rectified_flow import StepOutput
from .source import from_bytes, grid_maps, to_bytes
from .vocabulary import PAD_ID


class StepInputs(NamedTuple):
    """The inputs of a probe but for the timestep. The tokens are padded to the longest caption, without the begin token."""

    attention: np.ndarray  # float16 [batch, layers, tokens, grid, grid]
    token_mask: np.ndarray  # uint8 [batch, tokens]
    signals: dict[str, np.ndarray]  # those that the probe declares, in the form in which it was trained on them


class StepReader:
    """Reads steps of a backbone for one probe."""

    def __init__(self, known: Sequence[str], layers: Sequence[str], grid: int, declared: Collection[str]):
        """`known`: the layers of the backbone. Of the probe: its `layers`, the side of its maps, and the names of its inputs.

        Raises ValueError for a layer that the backbone lacks.
        """
        absent = [layer for layer in layers if layer not in known]
        if absent:
            raise ValueError(f"the probe reads the layer {absent[0]}: the backbone has {', '.join(known)}")
        self._layers = [known.index(layer) for layer in layers]
        self._grid, self._declared = grid, declared

    def __call__(self, output: StepOutput, ids: np.ndarray) -> StepInputs:
        """`ids`: of the samples of the step, padded int64 [batch, tokens], without the begin token."""
        mask = (ids != PAD_ID).astype(np.uint8)
        longest = int(mask.sum(axis=1).max())
        maps = grid_maps([output.maps[layer] for layer in self._layers], self._grid)[:, :, :longest]
        signals = {
            "token_ids": lambda: ids[:, :longest],
            "guidance_difference": lambda: output.guidance_difference.numpy(),
            "preview": lambda: from_bytes(to_bytes(output.preview)).to(torch.float16).numpy(),
        }
        declared = {name: value() for name, value in signals.items() if name in self._declared}
        return StepInputs(maps.to(torch.float16).numpy(), mask[:, :longest], declared)
