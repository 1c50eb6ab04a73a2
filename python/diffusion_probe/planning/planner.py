"""Plans of a probe: chosen from the trajectories of its calibration, judged on its test captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.score_file import read_scores
from ..evaluation.trajectories import read_trajectories
from ..probe.manifest import read_manifest, total_steps_of, write_manifest
from .choice import Expectation, choose, expectation, judged_values
from .plan import CALLS, Costs, Plan
from .runs import Runs, runs_of
from .search import PlanTable, plan_table, plan_values

USUAL_BUDGETS = (1.5, 2.0, 3.0, 4.0, 5.0)  # whole images
TEST_SCORES = "test-scores.json"
DIGITS = 4


@dataclass(frozen=True)
class Wish:
    """What a plan is for."""

    pick: int = 1  # how many of the finished images are used
    final: str = "metric"  # how they are found: by the true `metric`, or by the last `score` where there is no metric
    costs: Costs = CALLS
    most_seeds: int | None = None  # None: as many as the trajectories have per prompt


@dataclass(frozen=True)
class ChosenPlan:
    """A plan for a budget."""

    budget: float  # in whole images
    plan: Plan
    calls: int
    wish: Wish
    expected: Expectation  # on calibration captions, each judged by plans that were chosen on other captions
    tested: Expectation | None  # the plan itself on test captions

    @property
    def is_better(self) -> bool:
        """Whether asking the probe is the better buy than plain best-of-k."""
        return self.plan.questions > 0

    def entry(self) -> dict[str, Any]:
        """The plan as it stands in `plans` of a probe.json."""
        return {
            "budget": self.budget,
            "seeds": self.plan.seeds,
            "keep": {str(step): count for step, count in self.plan.keep},
            "calls": self.calls,
            "pick": self.wish.pick,
            "final": self.wish.final,
            "expected": figures_of(self.expected),
        }


@dataclass(frozen=True)
class Planner:
    """The plans of one probe for one wish."""

    probe: str  # name@version
    calibration: Runs
    test: Runs | None
    wish: Wish
    table: PlanTable

    @classmethod
    def of(cls, folder: Path, wish: Wish, most_images: float) -> Planner:
        """Read the probe in `folder`, and value every plan of up to `most_images` whole images.

        Raises FileNotFoundError for a probe without trajectories, and ValueError for a wish that they cannot answer.
        """
        manifest = read_manifest(folder)
        total_steps = total_steps_of(manifest)
        calibration = runs_of(read_trajectories(folder, manifest), total_steps)
        if wish.pick > calibration.seeds:
            raise ValueError(f"--pick {wish.pick}: expected at most {calibration.seeds}, as many as were calibrated")
        if wish.most_seeds is not None and not wish.pick <= wish.most_seeds <= calibration.seeds:
            raise ValueError(
                f"--seeds {wish.most_seeds}: expected {wish.pick} to {calibration.seeds}, as many as were calibrated"
            )
        check_budget(most_images, wish)
        file = folder / TEST_SCORES
        test = runs_of(read_scores(file), total_steps) if file.exists() else None
        budget = most_images * wish.costs.image(total_steps)
        table = plan_table(calibration, budget, wish.costs, wish.pick, wish.final, wish.most_seeds)
        return cls(f"{manifest['name']}@{manifest['version']}", calibration, test, wish, table)

    @property
    def image_cost(self) -> float:
        return self.wish.costs.image(self.calibration.total_steps)

    def plan(self, images: float) -> ChosenPlan:
        """The plan for a budget in whole images. Raises ValueError for one below `pick` images."""
        check_budget(images, self.wish)
        budget = images * self.image_cost
        plan = self.table.plans[choose(self.table, budget)]
        expected = self.judged(self.calibration, judged_values(self.table, budget), budget)
        tested = None
        if self.test is not None and plan.seeds <= self.test.seeds and {step for step, _ in plan.keep} <= {*self.test.points}:
            tested = self.judged(self.test, plan_values(self.test, plan, self.wish.pick, self.wish.final), budget)
        return ChosenPlan(images, plan, plan.calls(self.calibration.total_steps), self.wish, expected, tested)

    def judged(self, runs: Runs, values: np.ndarray, budget: float) -> Expectation:
        return expectation(runs, values, budget, self.wish.costs, self.wish.pick)


def check_budget(images: float, wish: Wish) -> None:
    """Raises ValueError for a budget below the images that are used."""
    if not images >= wish.pick:
        raise ValueError(f"a budget of {images:g} whole images: expected at least {wish.pick}, the images that are used")


def write_plans(folder: Path, plans: Sequence[ChosenPlan]) -> None:
    """Replace `plans` in the manifest of the probe in `folder`."""
    manifest = read_manifest(folder)
    if manifest["schema_version"] < 2:
        raise ValueError(f"{folder / 'probe.json'} has schema_version {manifest['schema_version']}: plans need 2")
    manifest["plans"] = [chosen.entry() for chosen in plans]
    write_manifest(folder, manifest)


def figures_of(expected: Expectation) -> dict[str, dict[str, float | None]]:
    """Each figure as {value, low, high}; None where it does not exist."""

    def figure(values: Sequence[float]) -> dict[str, float | None]:
        known = [None if math.isnan(value) else round(value, DIGITS) for value in values]
        return dict(zip(("value", "low", "high"), known, strict=True))

    return {name: figure(values) for name, values in asdict(expected).items()}


def parse_costs(text: str) -> Costs:
    """Parse costs such as `call=0.21,capture=0.01,question=0.002,decode=0.3`. Raises ValueError for other names and values."""
    known = ", ".join(Costs.__dataclass_fields__)
    try:
        parts: Mapping[str, float] = {name: float(value) for name, value in (part.split("=") for part in text.split(","))}
        costs = Costs(**parts)
    except (TypeError, ValueError):
        raise ValueError(f"--costs {text}: expected name=seconds, separated by commas, of {known}") from None
    if not all(math.isfinite(value) and value >= 0 for value in parts.values()) or costs.call == 0:
        raise ValueError(f"--costs {text}: expected seconds from 0, and a call above 0")
    return costs
