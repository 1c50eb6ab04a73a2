"""The candidates of one prompt that several ranks of torch.distributed draw: one request, one decision."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch.distributed as dist

from ..capture import ObservedStep
from ..client import Kept, SampleGroup


class RankedGroup:
    """As `ProbeClient.group`, on every rank: rank 0 gathers the maps, asks once and broadcasts the decision.

    Every rank must call `decide` at every step at which one does, with no rows too.
    """

    def __init__(self, client: Any, size: int, process_group: dist.ProcessGroup | None = None, **options: Any):
        """`client`: a ProbeClient, needed on rank 0 alone. `size`: the samples of this rank. `options`: as those of `group`."""
        self._ranks = process_group
        self._first = dist.get_global_rank(self._ranks, 0) if self._ranks else 0
        self._rank = dist.get_rank(self._ranks)
        self.sizes: list[int] = [0] * dist.get_world_size(self._ranks)  # the remaining samples of each rank
        dist.all_gather_object(self.sizes, size, self._ranks)
        self._group = SampleGroup(client, range(sum(self.sizes)), options) if self._rank == 0 else None
        self.remaining: tuple[int, ...] = tuple(range(size))  # the indices of this rank's remaining samples

    @property
    def outcomes(self) -> list[Any]:
        """Those of the decisions, on rank 0; empty on the others."""
        return [] if self._group is None else self._group.outcomes

    def decide(self, observed: ObservedStep, *, step: int, timestep: float) -> Kept:
        """As `SampleGroup.decide`, for this rank's samples. Raises RuntimeError on every rank for a mistake of the caller."""
        parts: list[ObservedStep | None] = [None] * len(self.sizes)
        dist.gather_object(observed, parts if self._rank == 0 else None, self._first, self._ranks)
        answer: list[Any] = [None]
        if self._group is not None:
            answer = [self._ask(parts, step, timestep)]
        dist.broadcast_object_list(answer, self._first, self._ranks)
        if isinstance(answer[0], str):
            raise RuntimeError(answer[0])
        rows, start = self.sizes[self._rank], sum(self.sizes[: self._rank])
        kept = Kept.of((index - start for index in answer[0] if start <= index < start + rows), rows)
        ends = np.cumsum(self.sizes)
        self.sizes = np.bincount(np.searchsorted(ends, answer[0], side="right"), minlength=len(ends)).tolist()
        self.remaining = tuple(self.remaining[index] for index in kept)
        return kept

    def _ask(self, parts: list[ObservedStep], step: int, timestep: float) -> tuple[int, ...] | str:
        """The kept indices among all ranks' samples; a text for a mistake, which the others would wait for otherwise."""
        missing = [part for part, rows in zip(parts, self.sizes, strict=True) if rows and part.attention is None]
        some = [part for part in parts if part.attention is not None and len(part.attention)]
        observed = missing[0] if missing or not some else some[0]
        if not missing and some:
            joined = {name: np.concatenate([getattr(part, name) for part in some]) for name in ("attention", "token_mask")}
            observed = dataclasses.replace(observed, **joined)
        try:
            return tuple(self._group.decide(observed, step=step, timestep=timestep))
        except Exception as error:
            return str(error)
