"""The samples that plans are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evaluation.score_file import KnownSamples


@dataclass(frozen=True)
class Runs:
    """Samples of p prompts, s seeds each, whose scores at t decision points and whose qualities are known.

    Raises ValueError for arrays of other shapes, for values that are not finite, and for steps that are not decision points.
    """

    points: tuple[int, ...]  # steps of the decision points, ascending
    total_steps: int
    scores: np.ndarray  # [p, s, t]
    quality: np.ndarray  # [p, s]

    def __post_init__(self) -> None:
        shape = (*self.quality.shape, len(self.points))
        if self.quality.ndim != 2 or self.scores.shape != shape or 0 in shape:
            raise ValueError(f"scores have the shape {list(self.scores.shape)}, expected [prompts, seeds, points] {list(shape)}")
        if not np.isfinite(self.scores).all() or not np.isfinite(self.quality).all():
            raise ValueError("scores and qualities must be finite")
        if list(self.points) != sorted(set(self.points)) or not all(0 < step < self.total_steps for step in self.points):
            raise ValueError(f"decision points {list(self.points)}: expected ascending steps from 1 to {self.total_steps - 1}")

    @property
    def prompts(self) -> int:
        return self.quality.shape[0]

    @property
    def seeds(self) -> int:
        return self.quality.shape[1]


def runs_of(samples: KnownSamples, total_steps: int) -> Runs:
    """The prompts that have the most samples, which are those without a sample of unknown quality."""
    counts = np.bincount(samples.caption)
    order = np.argsort(samples.caption, kind="stable")
    order = order[counts[samples.caption[order]] == counts.max()]
    points = tuple(sorted(samples.scores))
    scores = np.stack([samples.scores[step][order] for step in points], axis=-1)
    shape = (-1, counts.max())
    return Runs(points, total_steps, scores.reshape(*shape, len(points)), samples.quality[order].reshape(shape))
