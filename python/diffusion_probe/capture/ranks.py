"""Completes the maps of attention whose heads or image positions are spread over ranks of torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """How attention is spread: each rank has as many heads, or as many consecutive image positions, as the others."""

    over: Literal["heads", "positions"]
    ranks: dist.ProcessGroup | None = None  # None: all

    @property
    def parts_of_image(self) -> int:
        """How many times a rank's image positions make the image."""
        return dist.get_world_size(self.ranks) if self.over == "positions" else 1

    def complete(self, maps: Tensor) -> Tensor:
        """From a rank's maps, float32 [tokens, positions], a mean over its heads: those of all ranks."""
        count = dist.get_world_size(self.ranks)
        if self.over == "heads":
            total = maps.clone()
            dist.all_reduce(total, group=self.ranks)
            return total / count
        parts = [torch.empty_like(maps) for _ in range(count)]
        dist.all_gather(parts, maps.contiguous(), group=self.ranks)
        return torch.cat(parts, dim=1)
