"""The decision about the samples of a batch: from scores to kept rows with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .estimates import LEAST_STD, advantages
from .keeping import Shape, allocate, draw, weights


@dataclass(frozen=True)
class KeptRows:
    """The rows of a batch that go on, and what an unbiased gradient needs to know of them."""

    rows: np.ndarray  # int64 [kept], ascending
    probabilities: np.ndarray  # float64 [batch], with which each row was kept
    scores: np.ndarray  # float64 [batch], of the probe; NaN without an answer
    failure: str | None = None  # why nothing was decided and every row kept; a dropped row is no failure

    @property
    def weights(self) -> np.ndarray:
        """One over the probability for kept rows, 0 for dropped ones: float64 [batch]."""
        return weights(self.probabilities, self.rows)

    def scattered(self, values: ArrayLike) -> np.ndarray:
        """Values of the kept rows, [kept], in the rows of the batch, NaN in the dropped ones: float64 [batch].

        Raises ValueError for another number of values.
        """
        values = np.asarray(values, np.float64)
        if values.shape != self.rows.shape:
            raise ValueError(f"there are values of the shape {list(values.shape)} for {len(self.rows)} kept rows")
        result = np.full(len(self.probabilities), np.nan)
        result[self.rows] = values
        return result

    def weighted_advantages(
        self, rewards: ArrayLike, group: ArrayLike, std: float | None = None, least_std: float = LEAST_STD
    ) -> np.ndarray:
        """`advantages` times the weights, for a loss that averages over all rows: float64 [batch], 0 in dropped rows.

        `rewards` [kept]: of the kept rows; `group` [batch]: the prompt of each row. The rows of a group must all be here.
        """
        return self.weights * advantages(self.scattered(rewards), self.weights, group, std, least_std)

    @classmethod
    def all(cls, batch: int, failure: str | None = None) -> KeptRows:
        """Every row is kept, for certain."""
        return cls(np.arange(batch), np.ones(batch), np.full(batch, np.nan), failure)


@dataclass(frozen=True)
class KeepRule:
    """How rows are kept: the arguments of `allocate`."""

    floor: float = 0.25
    shape: Shape = "tails"
    share: float = 0.5

    def __post_init__(self) -> None:
        allocate([], [], self.floor, self.shape, self.share)

    def decide(self, scores: ArrayLike, group: ArrayLike, seed: int | Sequence[int]) -> KeptRows:
        """Keep some of the rows. `scores` [batch]: NaN without an answer; `group` [batch]: the prompt of each row."""
        scores = np.asarray(scores, np.float64)
        probabilities = allocate(scores, group, self.floor, self.shape, self.share)
        return KeptRows(draw(probabilities, seed), probabilities, scores)
