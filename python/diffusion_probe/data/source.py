"""The interface of a backbone that training data is collected from, and the samples it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..conditions.differences import Conditions
from ..probe.manifest import Capture, DecisionPoint, Metric


@dataclass(frozen=True)
class Samples:
    """Finished images of some prompts and seeds, and what was captured while they were generated.

    n samples, p points, l layers, t tokens (padded to the longest of the call), h x w the capture's grid. A field is
    None where the backbone cannot provide it.
    """

    attention: np.ndarray  # float16 [n, p, l, t, h, w], probabilities, mean over heads
    token_mask: np.ndarray  # uint8 [n, t], 1 = real
    quality: np.ndarray  # float32 [n], the metric of the finished image; nan where the metric failed or was not asked
    token_ids: np.ndarray | None = None  # int64 [n, t], 0 where masked
    subject_mask: np.ndarray | None = None  # uint8 [n, t], 1 = the token names a thing the image should show
    preview: np.ndarray | None = None  # uint8 [n, p, 3, height, width], the preview of the finished image at each point
    preview_quality: np.ndarray | None = None  # float32 [n, p], the metric of the preview
    guidance_difference: np.ndarray | None = None  # float32 [n, p], mean square of conditional minus unconditional prediction
    image: np.ndarray | None = None  # uint8 [n, 3, height, width], the finished image


class Source(Protocol):
    """A backbone with its sampler and its metric."""

    name: str
    capture: Capture
    conditions: Conditions
    total_steps: int
    metric: Metric

    def points(self, steps: Sequence[int]) -> tuple[DecisionPoint, ...]:
        """The timesteps of steps counted from 1."""
        ...

    def prompts(self, split: str, count: int) -> list[str]:
        """`count` different prompts of a split; splits share none. A longer list begins with the shorter one."""
        ...

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        """One finished image per pair of prompt and seed (lists of one length), captured at `steps`."""
        ...


class ObservableSource(Source, Protocol):
    """A source that can stop early, which unlabelled prompts need."""

    def observe(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        """As `generate`, but no denoiser call after the last of `steps`, no image, and qualities of nan."""
        ...
