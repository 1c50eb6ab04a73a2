"""Which samples of a group go on, by arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...grpo import KeepRule, KeptRows
from .settings import GrpoSettings


def keep_rows(settings: GrpoSettings, scores: Sequence[float] | np.ndarray, group: np.ndarray, seed: Sequence[int]) -> KeptRows:
    """Which rows of a batch go on. `scores` [rows]: those of the arm's judge, read by scored arms alone; `group` [rows]: prompts.

    `full`, `random` and `tails` weight the kept rows so that the gradient stays that of the whole group. `top` and `variance` do
    not: they keep the best, or the most varied, of the scores and count each of them once, as if they were the group.
    """
    scores = np.asarray(scores, np.float64)
    if settings.arm == "full":
        return KeptRows.all(len(group))
    if settings.arm in ("random", "tails"):
        shape = "uniform" if settings.arm == "random" else "tails"
        floor = settings.share if settings.arm == "random" else settings.floor
        values = np.zeros(len(group)) if settings.arm == "random" else scores
        return KeepRule(floor, shape, settings.share).decide(values, group, seed)
    chosen = {"top": best, "variance": most_varied}[settings.arm]
    rows = []
    for name in np.unique(group):
        own = np.flatnonzero(group == name)
        rows += own[chosen(scores[own], round(settings.share * len(own)))].tolist()
    return KeptRows(np.array(sorted(rows), np.int64), np.ones(len(group)), scores)


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` highest scores; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count]


def most_varied(scores: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` scores of the largest variance, from both ends of the order (PODS, arXiv 2504.13818)."""
    order = np.argsort(scores, kind="stable")
    choices = [np.concatenate([order[:low], order[len(order) - (count - low) :]]) for low in range(count + 1)]
    return max(choices, key=lambda rows: scores[rows].var())
