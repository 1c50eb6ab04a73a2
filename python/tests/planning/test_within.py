"""The plan for any number of calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffusion_probe.planning.plan import Plan
from diffusion_probe.planning.within import plan_within

from .synthetic import STEPS, write_probe

PLANS = [
    {"budget": 1.5, "seeds": 3, "keep": {"1": 1}, "calls": 12, "final": "metric"},
    {"budget": 3, "seeds": 6, "keep": {"1": 4, "5": 1}, "calls": 27, "final": "metric"},
    {"budget": 4, "seeds": 9, "keep": {"1": 1}, "calls": 18, "final": "score"},
]


@pytest.mark.parametrize("calls", [10, 13, 19, 20, 33.5])
def test_it_costs_at_most_the_calls_and_asks_where_that_is_better(tmp_path: Path, calls: float) -> None:
    folder = write_probe(tmp_path)
    plan = plan_within(calls, json.loads((folder / "probe.json").read_text()), folder)
    assert plan.calls(STEPS) <= calls
    assert plan.seeds > calls // STEPS or calls < 12
    assert (plan.questions > 0) == (calls > 12)


def test_without_a_metric_one_image_is_finished(tmp_path: Path) -> None:
    folder = write_probe(tmp_path)
    assert plan_within(30, json.loads((folder / "probe.json").read_text()), folder, "score").finished == 1


@pytest.mark.parametrize(
    ("calls", "plan"),
    [
        (11, Plan(1)),
        (12, Plan(3, ((1, 1),))),
        (19, Plan(3, ((1, 1),))),
        (26, Plan(2)),
        (29, Plan(6, ((1, 4), (5, 1)))),
        (40, Plan(4)),
    ],
)
def test_without_trajectories_it_is_one_of_the_plans_of_the_probe(calls: float, plan: Plan) -> None:
    assert plan_within(calls, {"total_steps": STEPS, "capture": {}, "plans": PLANS}, None) == plan


def test_fewer_calls_than_an_image_has_are_refused() -> None:
    with pytest.raises(ValueError, match="9 denoiser calls: an image has 10"):
        plan_within(9, {"total_steps": STEPS, "capture": {}}, None)
