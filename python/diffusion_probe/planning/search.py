"""The value of every plan: the expected quality of the best finished image, for each prompt.

The expectation is over the seeds of a prompt, which are exchangeable: all subsets of the plan's size where they are few, else
evenly spaced windows of a random circular order, in which all seeds occur about equally often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from ..evaluation.figures import best_of_drawn
from .plan import CALLS, Costs, Plan
from .runs import Runs

MOST_GROUPS = 50_000  # groups of seeds of one size, over all prompts, of which all subsets are used
LEAST_WINDOWS = 12
# Between few and many seeds a plan's value changes slowly, so that larger counts may be further apart.
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32)
SLACK = 1e-9  # relative; sums of costs are rounded


@dataclass(frozen=True)
class PlanTable:
    """Plans with their costs, and the expected quality that each gives to each prompt."""

    plans: list[Plan]
    cost: np.ndarray  # [plans]
    questions: np.ndarray  # [plans]
    values: np.ndarray  # float32 [plans, prompts]

    def rows(self, rows: np.ndarray) -> PlanTable:
        """Some plans of the table."""
        return PlanTable([self.plans[row] for row in rows], self.cost[rows], self.questions[rows], self.values[rows])


def plan_table(
    runs: Runs, budget: float, costs: Costs = CALLS, pick: int = 1, final: str = "metric", most_seeds: int | None = None
) -> PlanTable:
    """Every plan that costs at most `budget`, with at most `most_seeds` seeds (default: as many as there are).

    `pick`: how many of the finished images are used; a value is their mean quality. `final`: how these are found. With `metric`
    the true metric ranks all finished images. With `score` no metric is there: the last question leaves `pick` samples. The
    values of plans without a question are exact. Raises ValueError for a `budget` below the cost of `pick` images.
    """
    if final not in ("metric", "score"):
        raise ValueError(f"final {final!r}: expected 'metric' or 'score'")
    least = pick * costs.image(runs.total_steps)
    if budget < least * (1 - SLACK):
        raise ValueError(f"a budget of {budget:g} is below the cost of {pick} finished image(s), {least:g}")
    plans, values = [], []
    for size in sizes(min(most_seeds or runs.seeds, runs.seeds), pick):
        if size < pick:
            continue
        search = _Search(runs, size, budget * (1 + SLACK), costs, pick, final)
        for counts, value in search.leaves():
            plan = Plan.from_counts(size, runs.points, counts)
            if plan.questions:
                plans.append(plan)
                values.append(value)
        whole = Plan(size)
        if whole.cost(runs.total_steps, costs) <= budget * (1 + SLACK) and (final == "metric" or size == pick):
            plans.append(whole)
            values.append(best_of_drawn(runs.quality, size, pick))
    return PlanTable(
        plans,
        np.array([plan.cost(runs.total_steps, costs) for plan in plans]),
        np.array([plan.questions for plan in plans]),
        np.array(values, np.float32),
    )


def sizes(most: int, pick: int) -> list[int]:
    """The counts of samples that plans may have, up to `most`."""
    return sorted({most, *(count for count in (pick, *COUNTS) if count < most)})


class _Search:
    """Walks through the tree of plans that start `size` seeds. A node is the samples alive before a decision point.

    Samples are kept as their ranks at the point, offset by prompt: sorting a row orders it by score, and a table leads from the
    rank at one point to the rank at the next.
    """

    def __init__(self, runs: Runs, size: int, budget: float, costs: Costs, pick: int, final: str):
        self.runs, self.budget, self.costs, self.pick, self.final = runs, budget, costs, pick, final
        prompts, seeds, points = runs.scores.shape
        order = np.argsort(-runs.scores, axis=1, kind="stable")  # [p, s, t]: equal scores in the order of the seeds
        rows = np.arange(prompts)[:, None]
        ranks = [np.argsort(order[:, :, j], axis=1) + rows * seeds for j in range(points)]
        groups = seed_groups(prompts, seeds, size)
        self.groups = groups.shape[1]
        self.first = ranks[0][rows[:, :, None], groups].reshape(-1, size)
        self.next = [ranks[j + 1][rows, order[:, :, j]].ravel() for j in range(points - 1)]
        self.quality = runs.quality[rows, order[:, :, -1]].ravel()
        self.counts = [count for count in sizes(size, pick) if count >= pick]
        self.size = size

    def leaves(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Each affordable plan as its counts after each point, with its value for each prompt [p]."""
        yield from self._below((), self.first, self.costs.call * self.size * self.runs.points[0])

    def _below(self, counts: tuple[int, ...], alive: np.ndarray, spent: float) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        points, costs, j = self.runs.points, self.costs, len(counts)
        present = alive.shape[1]
        is_last = j == len(points) - 1
        span = self.costs.call * ((self.runs.total_steps if is_last else points[j + 1]) - points[j])
        rest = 0 if is_last else self.pick * costs.call * (self.runs.total_steps - points[j + 1])
        asking = costs.capture * present + costs.question
        # What the cheapest plan below this node costs, by the count that is kept here.
        cost = {k: spent + k * span + (asking if k < present else 0) for k in self.counts if k <= present}
        least = {k: cost[k] + rest + costs.decode * (k if is_last else self.pick) for k in cost}
        affordable = [k for k in cost if least[k] <= self.budget]
        if not affordable:
            return
        ordered = np.sort(alive, axis=1)[:, : affordable[-1]]
        if is_last:
            values = self._values(self.quality.take(ordered))
            for k in affordable:
                if self.final == "metric" or k == self.pick:
                    yield (*counts, k), values[k]
            return
        following = self.next[j].take(ordered)
        for k in affordable:
            yield from self._below((*counts, k), following[:, :k], cost[k])

    def _values(self, quality: np.ndarray) -> dict[int, np.ndarray]:
        """By the number of finished samples: the mean of the best `pick` of them, for each prompt."""
        present = quality.shape[1]
        if self.final == "score":
            best = {self.pick: quality[:, : self.pick].mean(axis=1)}
        elif self.pick == 1:
            highest = np.maximum.accumulate(quality, axis=1)
            best = {k: highest[:, k - 1] for k in self.counts if k <= present}
        else:
            best = {k: np.sort(quality[:, :k], axis=1)[:, -self.pick :].mean(axis=1) for k in self.counts if k <= present}
        return {k: value.reshape(-1, self.groups).mean(axis=1) for k, value in best.items()}


def seed_groups(prompts: int, seeds: int, size: int) -> np.ndarray:
    """[prompts, groups, size]: the groups of seeds over which a plan that starts `size` seeds is averaged."""
    if prompts * comb(seeds, size) <= MOST_GROUPS or seeds <= size:
        subsets = np.array(list(combinations(range(seeds), size)))
        return np.broadcast_to(subsets, (prompts, *subsets.shape))
    windows = min(seeds, max(LEAST_WINDOWS, seeds // size))
    starts = np.arange(windows) * seeds // windows
    places = (starts[:, None] + np.arange(size)) % seeds
    circle = np.random.default_rng(size).permuted(np.tile(np.arange(seeds), (prompts, 1)), axis=1)
    return circle[:, places]


def plan_values(runs: Runs, plan: Plan, pick: int = 1, final: str = "metric") -> np.ndarray:
    """[prompts]: the value of one plan, as in `plan_table`. Raises ValueError for a step without scores and too many seeds."""
    missing = [step for step, _ in plan.keep if step not in runs.points]
    if missing or plan.seeds > runs.seeds:
        raise ValueError(f"a plan for {plan.seeds} seeds with steps {missing}: there are {runs.seeds} and {list(runs.points)}")
    if not plan.questions:
        return best_of_drawn(runs.quality, plan.seeds, pick)
    rows = np.arange(runs.prompts)[:, None, None]
    alive = seed_groups(runs.prompts, runs.seeds, plan.seeds)
    for step, count in plan.keep:
        scores = runs.scores[rows, alive, runs.points.index(step)]
        best = np.argsort(-scores, axis=2, kind="stable")[:, :, :count]
        alive = np.take_along_axis(alive, best, axis=2)
    quality = runs.quality[rows, alive]
    ranked = quality if final == "score" else -np.sort(-quality, axis=2)
    return ranked[:, :, :pick].mean(axis=(1, 2))
