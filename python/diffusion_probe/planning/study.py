"""The study `plans`: the share of the best-of-8 gap that a plan closes, beside plain best-of-k for the same denoiser calls.

Plans are chosen from the trajectories of the calibration alone. Each row is a probe and a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.figures import best_of_drawn
from ..evaluation.text_table import text_table
from .choice import best_of_budget, choose
from .curve import oracle_values
from .planner import TEST_SCORES, Planner, Wish
from .runs import Runs
from .search import plan_values

BUDGETS = (2.0, 3.0, 4.0)  # whole images
CANDIDATES = 8  # the gap is that between a random seed and the best of so many
COLUMNS = ("probe", "budget", "calls", "best-of-k", "one stage", "plan", "oracle", "equal quality", "by score alone", "the plan")


def study_plans(
    folders: Sequence[Path],
    budgets: Sequence[float] = BUDGETS,
    most_seeds: int | None = None,
    each: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> tuple[str, list[dict[str, Any]]]:
    """The study of some probes, as text for a terminal and as rows for JSON. `each` walks through the folders.

    Raises FileNotFoundError for a probe without trajectories or test scores.
    """
    rows = [row for folder in each(folders) for row in probe_rows(folder, budgets, most_seeds)]
    cells = [
        [
            row["probe"],
            f"{row['budget']:g}",
            f"{row['calls']:g}",
            *(f"{row[name]:.3f}" for name in ("best_of_k", "one_stage", "plan", "oracle")),
            f"x{row['equal_quality_ratio']:.2f}",
            f"{row['plan_by_score']:.3f}",
            row["text"],
        ]
        for row in rows
    ]
    head = (
        f"Shares of the gap between a random seed and the best of {CANDIDATES}, on test captions; plans were chosen on "
        "calibration captions. Equal quality: the calls that plain best-of-k needs for the plan's quality, as a multiple of the "
        "budget. By score alone: no metric ranks the finished images, and the plan was chosen for that."
    )
    return f"{head}\n\n{text_table([COLUMNS, *cells])}", rows


def probe_rows(folder: Path, budgets: Sequence[float], most_seeds: int | None) -> list[dict[str, Any]]:
    """A row per budget."""
    planner = Planner.of(folder, Wish(most_seeds=most_seeds), max(budgets))
    by_score = Planner.of(folder, Wish(final="score", most_seeds=most_seeds), max(budgets))
    if planner.test is None:
        raise FileNotFoundError(f"{folder / TEST_SCORES} does not exist: 'diffusion-probe evaluate' writes it")
    return [_row(planner, by_score, planner.test, budget) for budget in budgets]


def _row(planner: Planner, by_score: Planner, test: Runs, images: float) -> dict[str, Any]:
    calls = images * test.total_steps
    single = planner.table.rows(np.flatnonzero(planner.table.questions <= 1))
    plan = planner.table.plans[choose(planner.table, calls)]
    stage = single.plans[choose(single, calls)]
    scored = by_score.table.plans[choose(by_score.table, calls)]
    quality = float(plan_values(test, plan).mean())

    def share(value: float) -> float:
        return round(gap_share(test, value), 4)

    return {
        "probe": planner.probe,
        "budget": images,
        "calls": calls,
        "best_of_k": share(best_of_budget(test, calls, planner.wish.costs).mean()),
        "one_stage": share(plan_values(test, stage).mean()),
        "plan": share(quality),
        "oracle": share(oracle_values(test, calls).mean()),
        "equal_quality_ratio": round(calls_of_best_of(test, quality) / calls, 4),
        "plan_by_score": share(plan_values(test, scored, final="score").mean()),
        "text": plan.text(),
    }


def gap_share(runs: Runs, quality: float) -> float:
    """The share of the gap between a random seed and the best of `CANDIDATES` that a mean quality closes."""
    random = float(runs.quality.mean())
    best = float(best_of_drawn(runs.quality, min(CANDIDATES, runs.seeds)).mean())
    return (quality - random) / (best - random) if best > random else float("nan")


def calls_of_best_of(runs: Runs, quality: float) -> float:
    """The denoiser calls of plain best-of-k for a mean quality, interpolated between two k; at most those of all seeds."""
    counts = np.arange(1, runs.seeds + 1)
    means = [float(best_of_drawn(runs.quality, int(count)).mean()) for count in counts]
    return float(np.interp(quality, means, counts)) * runs.total_steps
