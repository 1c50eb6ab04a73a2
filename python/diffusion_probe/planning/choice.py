"""Chooses a plan for a budget, and says what it may expect: without the noise of having chosen the highest of many means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.figures import best_of_drawn, bootstrap
from .plan import CALLS, Costs
from .runs import Runs
from .search import SLACK, PlanTable

SPLITS = 10  # random halves of the prompts, for choosing on one and judging on the other
REPEATS = 1000  # bootstrap resamples


@dataclass(frozen=True)
class Expectation:
    """What a plan may expect, in units of the metric. Each figure is (value, low, high) with a 95% interval over prompts."""

    quality: tuple[float, float, float]  # mean of the best finished images
    best_of_k: tuple[float, float, float]  # the same of plain best-of-k at the cost of the budget; k may be a fraction
    gain: tuple[float, float, float]  # quality less best_of_k
    gap_closed: tuple[float, float, float]  # share of the gap between a random seed and the best of all
    best_of_k_gap_closed: tuple[float, float, float]


def choose(table: PlanTable, budget: float, prompts: Sequence[int] | np.ndarray | slice = slice(None)) -> int:
    """The row of the plan for a budget, from the values of some prompts.

    The plan with the highest mean, unless one without a question (plain best-of-k) is within one standard error of it, of the
    difference paired by prompt. Of equal means the one with the fewest questions.
    """
    rows = np.flatnonzero(table.cost <= budget * (1 + SLACK))
    rows = rows[np.argsort(table.questions[rows], kind="stable")]
    values = table.values[rows][:, prompts]
    means = values.mean(axis=1, dtype=np.float64)
    best = int(np.argmax(means))
    asks_nobody = np.flatnonzero(table.questions[rows] == 0)
    plain = int(asks_nobody[np.argmax(means[asks_nobody])])
    error = (values[best] - values[plain]).std() / np.sqrt(max(values.shape[1] - 1, 1))
    return int(rows[plain if means[plain] >= means[best] - error else best])


def judged_values(table: PlanTable, budget: float, splits: int = SPLITS) -> np.ndarray:
    """[prompts]: the values of plans that were chosen on a half of the prompts to which the prompt does not belong."""
    prompts = table.values.shape[1]
    if prompts < 2:
        return table.values[choose(table, budget)].astype(np.float64)
    rng = np.random.default_rng(0)
    total = np.zeros(prompts)
    for _ in range(splits):
        order = rng.permutation(prompts)
        for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            total[own] += table.values[choose(table, budget, other)][own]
    return total / splits


def best_of_budget(runs: Runs, budget: float, costs: Costs, pick: int = 1) -> np.ndarray:
    """[prompts]: plain best-of-k for the cost of a budget, interpolated between two whole k; at most all seeds."""
    images = np.clip(budget / costs.image(runs.total_steps), pick, runs.seeds)
    low = int(images)
    high = min(low + 1, runs.seeds)
    share = images - low
    return (1 - share) * best_of_drawn(runs.quality, low, pick) + share * best_of_drawn(runs.quality, high, pick)


def expectation(runs: Runs, values: np.ndarray, budget: float, costs: Costs = CALLS, pick: int = 1) -> Expectation:
    """What plans with these `values` [prompts] may expect beside plain best-of-k for the same budget."""
    plain = best_of_budget(runs, budget, costs, pick)
    random, best = best_of_drawn(runs.quality, pick, pick), best_of_drawn(runs.quality, runs.seeds, pick)

    def mean(of: np.ndarray) -> tuple[float, float, float]:
        return (float(of.mean()), *bootstrap(lambda rows: float(of[rows].mean()), len(of), REPEATS))

    def closed(of: np.ndarray) -> tuple[float, float, float]:
        def share(rows: np.ndarray | slice) -> float:
            gap = (best[rows] - random[rows]).sum()
            return float((of[rows] - random[rows]).sum() / gap) if gap > 0 else float("nan")

        return (share(slice(None)), *bootstrap(share, len(of), REPEATS))

    return Expectation(mean(values), mean(plain), mean(values - plain), closed(values), closed(plain))
