"""The values of plans: against brute force, within the budget, and at the two ends of what a score may know."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_probe.evaluation.figures import best_of_drawn
from diffusion_probe.planning.plan import Costs, Plan
from diffusion_probe.planning.runs import Runs
from diffusion_probe.planning.search import plan_table, plan_values, seed_groups

from .synthetic import POINTS, STEPS, random_runs

WHOLE = float(STEPS * 5)


def brute_force(runs: Runs, seeds: int, counts: tuple[int, ...], pick: int, final: str) -> np.ndarray:
    """The value of a plan by its definition, one subset and one sample at a time."""
    values = []
    for scores, quality in zip(runs.scores, runs.quality, strict=True):
        of_subset = []
        for subset in combinations(range(runs.seeds), seeds):
            alive = list(subset)
            for point, count in enumerate(counts):
                if count < len(alive):
                    alive = sorted(alive, key=lambda one: -scores[one, point])[:count]
            ranked = sorted(alive, key=lambda one: -quality[one]) if final == "metric" else alive
            of_subset.append(np.mean([quality[one] for one in ranked[:pick]]))
        values.append(np.mean(of_subset))
    return np.array(values)


def calls_by_counting(seeds: int, counts: tuple[int, ...]) -> int:
    alive_at = [seeds] * STEPS
    for step, count in zip(POINTS, counts, strict=True):
        alive_at[step:] = [count] * (STEPS - step)
    return sum(alive_at)


@pytest.mark.parametrize(("pick", "final"), [(1, "metric"), (2, "metric"), (1, "score"), (2, "score")])
def test_the_search_finds_every_plan_with_the_value_of_brute_force(pick: int, final: str) -> None:
    runs = random_runs(3, 4, 0.7)
    table = plan_table(runs, WHOLE, pick=pick, final=final)
    found = dict(zip(table.plans, table.values, strict=True))
    expected = {}
    for seeds in range(pick, 5):
        for counts in product(range(pick, seeds + 1), repeat=3):
            falls = all(after <= before for before, after in zip((seeds, *counts), counts, strict=False))
            if falls and (final == "metric" or counts[-1] == pick):
                expected[Plan.from_counts(seeds, POINTS, counts)] = brute_force(runs, seeds, counts, pick, final)
    assert found.keys() == expected.keys()
    for plan, value in expected.items():
        assert found[plan] == pytest.approx(value, abs=1e-6), plan
        assert plan_values(runs, plan, pick, final) == pytest.approx(value), plan


@given(st.integers(1, 6), st.lists(st.integers(1, 6), min_size=3, max_size=3))
def test_calls_are_those_of_every_sample_until_it_is_dropped(seeds: int, kept: list[int]) -> None:
    counts = tuple(int(count) for count in np.minimum.accumulate([seeds, *kept])[1:])
    plan = Plan.from_counts(seeds, POINTS, counts)
    assert plan.calls(STEPS) == calls_by_counting(seeds, counts)
    assert plan.finished == counts[-1]
    steps = [step for step, _ in plan.keep]
    assert steps == sorted(steps)
    assert all(after < before for before, (_, after) in zip([seeds, *(c for _, c in plan.keep)], plan.keep, strict=False))


costs = st.builds(Costs, st.floats(0.1, 2), st.floats(0, 1), st.floats(0, 1), st.floats(0, 5))


@settings(max_examples=25, deadline=None)
@given(costs, st.floats(1, 5), st.integers(1, 2))
def test_no_plan_is_over_budget_and_none_within_it_is_missing(of: Costs, images: float, pick: int) -> None:
    runs, budget = random_runs(2, 5, 0.7), max(images, pick) * of.image(STEPS)
    table = plan_table(runs, budget, of, pick)
    assert (table.cost <= budget * (1 + 1e-6)).all()
    assert table.cost == pytest.approx([plan.cost(STEPS, of) for plan in table.plans])
    everything = plan_table(runs, 1e9, of, pick)
    assert {*table.plans} == {plan for plan in everything.plans if plan.cost(STEPS, of) <= budget * (1 + 1e-9)}


def test_the_cost_counts_captures_questions_and_decoded_images() -> None:
    plan = Plan(6, ((1, 4), (5, 2)))
    assert plan.cost(STEPS, Costs()) == 6 * 1 + 4 * 4 + 2 * 5
    assert plan.cost(STEPS, Costs(2, 0.5, 3, 7)) == 2 * 32 + 0.5 * (6 + 4) + 3 * 2 + 7 * 2


def test_a_plan_with_perfect_scores_finds_the_best_seed() -> None:
    runs = random_runs(40, 6, 0.0)
    oracle = runs.quality.max(axis=1)
    for plan in (Plan(6, ((1, 1),)), Plan(6, ((1, 5), (3, 2), (5, 1)))):
        assert plan_values(runs, plan) == pytest.approx(oracle)
        assert plan_values(runs, plan, final="score") == pytest.approx(oracle)


def test_no_plan_with_random_scores_is_better_than_finishing_as_many() -> None:
    runs = random_runs(4000, 5, np.inf)
    table = plan_table(runs, WHOLE)
    noise = runs.quality.std() / np.sqrt(runs.prompts)
    for plan, value in zip(table.plans, table.values, strict=True):
        assert value.mean() <= best_of_drawn(runs.quality, plan.finished).mean() + 4 * noise


def test_plans_without_a_question_are_exact() -> None:
    runs = random_runs(5, 4, 0.7)
    table = plan_table(runs, WHOLE)
    for seeds in range(1, 5):
        value = table.values[table.plans.index(Plan(seeds))]
        means = [[max(subset) for subset in combinations(quality, seeds)] for quality in runs.quality]
        assert value == pytest.approx(np.mean(means, axis=1), abs=1e-6)


def test_of_many_seeds_every_one_is_used_equally_often() -> None:
    groups = seed_groups(3, 24, 12)
    assert groups.shape == (3, 12, 12)
    for own in groups:
        assert (np.bincount(own.ravel(), minlength=24) == 6).all()
        assert all(len({*group}) == 12 for group in own)
    assert seed_groups(2, 5, 3).shape == (2, 10, 3)


@pytest.mark.parametrize(
    ("points", "shape", "message"),
    [
        ((1, 3), (2, 4, 3), "expected \\[prompts, seeds, points\\]"),
        ((3, 1, 5), (2, 4, 3), "expected ascending steps"),
        ((1, 3, 10), (2, 4, 3), "from 1 to 9"),
        ((1, 3, 5), (0, 4, 3), "expected \\[prompts, seeds, points\\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(points: tuple[int, ...], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Runs(points, STEPS, np.zeros(shape), np.zeros(shape[:2]))


def test_numbers_that_are_not_finite_a_small_budget_and_an_unknown_ranking_are_refused() -> None:
    runs = random_runs(2, 4, 0.7)
    with pytest.raises(ValueError, match="must be finite"):
        Runs(POINTS, STEPS, runs.scores, np.where(runs.quality > 0, np.nan, runs.quality))
    with pytest.raises(ValueError, match="below the cost of 2"):
        plan_table(runs, 15.0, pick=2)
    with pytest.raises(ValueError, match="expected 'metric' or 'score'"):
        plan_table(runs, 15.0, final="best")
    with pytest.raises(ValueError, match="there are 4"):
        plan_values(runs, Plan(4, ((2, 1),)))
