"""The maps of one step: each layer is reduced as soon as it has run, because queries and keys need far more memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .ranks import Spread
from .reduction import AttentionCall, PromptRow, Reduce, reduce_rows


class StepMaps:
    """Collects the maps of some layers. Pipelines and loops of one's own read attention through it."""

    def __init__(
        self,
        layers: Sequence[str],
        grid: tuple[int, int],
        tokens: int,
        find_rows: Callable[[AttentionCall], Sequence[PromptRow]],
        spread: Spread | None = None,
        reduce: Reduce = reduce_rows,
    ):
        """`tokens`: of the longest prompt. `find_rows`: the rows of a call that see a prompt, as many in each layer."""
        self._layers, self._grid, self._tokens = layers, grid, tokens
        self._find_rows = find_rows
        self._spread = spread
        self._reduce = reduce
        self._maps: dict[str, Tensor] = {}

    def add(self, layer: str, attention: AttentionCall) -> None:
        """Reduce the attention of one layer. Raises CaptureError where it does not fit."""
        self._maps[layer] = self._reduce(attention, self._find_rows(attention), self._tokens, self._grid, self._spread)

    @property
    def missing(self) -> tuple[str, ...]:
        """Layers that have not run. A block cache may have skipped them."""
        return tuple(name for name in self._layers if name not in self._maps)

    def joined(self) -> Tensor:
        """The maps of all layers: float16 [rows, layers, tokens, *grid]."""
        device = self._maps[self._layers[0]].device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):  # bfloat16 autocast joins no float16
            return torch.stack([self._maps[name] for name in self._layers], dim=1)
