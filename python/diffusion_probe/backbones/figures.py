"""The figures of one evaluated probe: those of its report, and what its plan brings on test prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.figures import best_of_drawn, bootstrap
from ..evaluation.score_file import read_scores
from ..planning.choice import best_of_budget, choose
from ..planning.plan import CALLS
from ..planning.planner import TEST_SCORES, Planner, Wish
from ..planning.runs import Runs, runs_of
from ..planning.search import plan_values
from ..probe.manifest import total_steps_of

REPORT = "report.json"
DIGITS = 4
BUDGET = 3  # whole images
CANDIDATES = 8  # the gap is that between a random image and the best of so many
REPEATS = 1000  # bootstrap resamples
OF_THE_PROBE = {
    "srcc": "srcc",
    "ktc": "ktc",
    "pcc": "pcc",
    "auc20": "auc_20",
    "pairwise": "pairwise_accuracy",
    "gap_8": "gap_closed_8",
}
BASELINES = {
    "prompt_mean": "true_prompt_mean",
    "attend_and_excite": "attend_and_excite",
    "guidance_difference": "guidance_difference",
    "preview": "preview_quality",
}


def read_report(folder: Path) -> dict[str, Any]:
    """The report of `evaluate` on the test split. Raises FileNotFoundError without one, ValueError for one of another split."""
    path = folder / REPORT
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: 'diffusion-probe evaluate' writes it")
    report = json.loads(path.read_text(encoding="utf-8"))
    if report.get("split") != "test":
        raise ValueError(f"{path} is of the split {report.get('split')!r}: evaluate the probe on the test split")
    return report


def step_figures(report: Mapping[str, Any], own: Mapping[str, Any] | None) -> dict[str, dict[str, float | None]]:
    """By step: each figure, and where the report has an interval `{figure}_low` and `{figure}_high` of 95% over prompts.

    `gap_8_NAME` and `srcc_NAME` are of the baseline NAME, and of `own`, the report of another probe at the same step. A figure
    that the report does not have is None.
    """
    steps = {}
    for step, entry in report["steps"].items():
        methods = entry["methods"]
        other = ((own or {}).get("steps", {}).get(step) or {}).get("methods", {})
        compared = {**{name: methods.get(key) for name, key in BASELINES.items()}, "own": other.get("probe")}
        figures: dict[str, float | None] = {}
        for name, key in OF_THE_PROBE.items():
            figures |= _with_interval(name, methods["probe"].get(key))
        for name, method in compared.items():
            figures |= _with_interval(f"gap_8_{name}", (method or {}).get("gap_closed_8"))
            figures |= _with_interval(f"srcc_{name}", (method or {}).get("srcc"))
        steps[step] = figures
    return steps


def _with_interval(name: str, figure: Mapping[str, float] | None) -> dict[str, float | None]:
    if figure is None:
        return {name: None}
    return {name if key == "value" else f"{name}_{key}": value for key, value in figure.items()}


def plan_figures(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The plan for `BUDGET` whole images, chosen on calibration prompts, on test prompts beside best-of-k for as many calls.

    `gap` and `best_of_3` are shares of the gap between a random image and the best of `CANDIDATES`, `gain` is their difference.
    Raises FileNotFoundError for a probe that was not calibrated or not evaluated.
    """
    path = folder / TEST_SCORES
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: 'diffusion-probe evaluate' writes it")
    test = runs_of(read_scores(path), total_steps_of(manifest))
    planner = Planner.of(folder, Wish(), BUDGET)
    if planner.calibration.seeds > test.seeds:  # a plan of more seeds cannot be judged on these prompts
        planner = Planner.of(folder, Wish(most_seeds=test.seeds), BUDGET)
    budget = BUDGET * test.total_steps
    plan = planner.table.plans[choose(planner.table, budget)]
    values, plain = plan_values(test, plan), best_of_budget(test, budget, CALLS)
    return {
        "budget": BUDGET,
        "calls": plan.calls(test.total_steps),
        "text": plan.text(),
        **_share(test, "gap", values - test.quality.mean(axis=1)),
        **_share(test, "best_of_3", plain - test.quality.mean(axis=1)),
        **_share(test, "gain", values - plain),
    }


def gap_of_best_of(folder: Path, manifest: Mapping[str, Any], images: float) -> float:
    """The share of the gap that plain best-of-k closes on test prompts for so many whole images, which may be a fraction."""
    test = runs_of(read_scores(folder / TEST_SCORES), total_steps_of(manifest))
    plain = best_of_budget(test, images * test.total_steps, CALLS)
    return _share(test, "gap", plain - test.quality.mean(axis=1))["gap"]


def _share(test: Runs, name: str, gained: np.ndarray) -> dict[str, float]:
    """What was gained on each prompt as a share of the gap, with a 95% interval over prompts."""
    gap = best_of_drawn(test.quality, min(CANDIDATES, test.seeds)) - test.quality.mean(axis=1)

    def share(rows: np.ndarray | slice) -> float:
        return float(gained[rows].sum() / gap[rows].sum()) if gap[rows].sum() > 0 else float("nan")

    found = share(slice(None)), *bootstrap(share, test.prompts, REPEATS)
    return {f"{name}{end}": round(value, DIGITS) for end, value in zip(("", "_low", "_high"), found, strict=True)}
