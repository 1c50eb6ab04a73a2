"""The choice of a plan: it does not take noise for a gain, and what it says to expect is true of prompts not yet seen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from diffusion_probe.evaluation.figures import best_of_drawn
from diffusion_probe.planning.choice import best_of_budget, choose, expectation, judged_values
from diffusion_probe.planning.plan import Costs
from diffusion_probe.planning.search import plan_table, plan_values

from .synthetic import STEPS, random_runs


@pytest.mark.parametrize("budget", [20.0, 30.0, 40.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_random_scores_plain_best_of_k_is_chosen(budget: float, seed: int) -> None:
    table = plan_table(random_runs(150, 6, np.inf, seed), budget)
    assert table.plans[choose(table, budget)].questions == 0


@pytest.mark.parametrize("budget", [15.0, 20.0, 30.0])
def test_with_good_scores_a_plan_within_the_budget_is_chosen_and_gains(budget: float) -> None:
    runs, fresh = random_runs(200, 6, 0.4), random_runs(2000, 6, 0.4, seed=9)
    table = plan_table(runs, budget)
    row = choose(table, budget)
    plan = table.plans[row]
    assert plan.questions > 0
    assert plan.calls(STEPS) <= budget
    gain = plan_values(fresh, plan) - best_of_budget(fresh, budget, Costs())
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


def test_a_larger_budget_never_gives_less() -> None:
    table = plan_table(random_runs(200, 6, 0.4), 50.0)
    error = 0.02
    values = [table.values[choose(table, budget)].mean() for budget in (10.0, 15.0, 20.0, 30.0, 50.0)]
    assert all(after >= before - error for before, after in pairwise(values))


def test_what_a_plan_expects_is_true_of_new_prompts() -> None:
    budget = 20.0
    within = 0
    for seed in range(12):
        runs = random_runs(150, 5, 0.6, seed)
        table = plan_table(runs, budget)
        expected = expectation(runs, judged_values(table, budget), budget)
        fresh = random_runs(3000, 5, 0.6, seed=100 + seed)
        gain = (plan_values(fresh, table.plans[choose(table, budget)]) - best_of_budget(fresh, budget, Costs())).mean()
        _, low, high = expected.gain
        within += low <= gain <= high
    assert within >= 8, "95% intervals miss rarely"


def test_the_value_of_a_choice_is_not_that_of_the_prompts_it_was_made_on() -> None:
    runs = random_runs(30, 5, np.inf)
    table = plan_table(runs, 25.0)
    seen = table.values.mean(axis=1).max()
    assert judged_values(table, 25.0).mean() < seen


def test_best_of_a_fraction_lies_between_the_whole_counts() -> None:
    runs = random_runs(50, 6, 0.5)
    two, three = (best_of_drawn(runs.quality, count) for count in (2, 3))
    assert best_of_budget(runs, 25.0, Costs()) == pytest.approx((two + three) / 2)
    assert best_of_budget(runs, 1e6, Costs()) == pytest.approx(runs.quality.max(axis=1))


def test_one_prompt_is_enough_for_an_answer() -> None:
    runs = random_runs(1, 4, 0.5)
    table = plan_table(runs, 20.0)
    assert np.isfinite(expectation(runs, judged_values(table, 20.0), 20.0).quality).all()
