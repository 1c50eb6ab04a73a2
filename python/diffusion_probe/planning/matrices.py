"""The study `plans` on reward matrices: `.npz` files with an early score and the finished quality of many images per prompt.

Arrays, as in the published ones of TTSnap (arXiv 2511.22242): `base` [steps, prompts, images], the metric of the x0 preview after
each step, of which the last is the finished image; `naft` [k, prompts, images], another early score after the steps `naft_steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.text_table import text_table
from .choice import best_of_budget, choose
from .plan import CALLS
from .runs import Runs
from .search import plan_table

BUDGETS = (2.0, 3.0, 5.0)  # whole images
SCORES = ("naft", "base")
SPLITS = 20
MOST_SEEDS = 16
POINTS = 4
COLUMNS = ("set", "score", "budget", "best-of-k", "plan", "difference", "plans that ask")


def study_matrices(
    files: Sequence[Path], each: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> tuple[str, list[dict[str, Any]]]:
    """Plans chosen on a random half of the prompts and judged on the other, as text and as rows. `each` walks through the files.

    Raises FileNotFoundError for a missing file, and ValueError for one without the arrays.
    """
    rows = [row for file in each(files) for score in SCORES for row in matrix_rows(file, score)]
    cells = [
        [
            row["set"],
            row["score"],
            f"{row['budget']:g}",
            *(f"{row[name]:.3f}" for name in ("best_of_k", "plan")),
            f"{row['difference']:+.3f}",
            f"{row['asks']:.0%}",
        ]
        for row in rows
    ]
    head = (
        f"Gains over a random image in standard deviations within prompts: means over {SPLITS} random halves of the prompts, "
        "plans chosen on one half and judged on the other."
    )
    return f"{head}\n\n{text_table([COLUMNS, *cells])}", rows


def matrix_rows(file: Path, score: str) -> list[dict[str, Any]]:
    """A row per budget, of one early score of one file."""
    runs = matrix_runs(file, score)
    unit = float(np.sqrt(runs.quality.var(axis=1, ddof=1).mean()))
    table = plan_table(runs, max(BUDGETS) * runs.total_steps, most_seeds=MOST_SEEDS)
    random = runs.quality.mean(axis=1)
    rows = []
    for budget in BUDGETS:
        calls = budget * runs.total_steps
        plain = best_of_budget(runs, calls, CALLS)
        rng = np.random.default_rng(0)
        halves = [rng.permutation(runs.prompts) for _ in range(SPLITS)]
        gains, plain_gains, asks = [], [], []
        for order in halves:
            own, other = order[::2], order[1::2]
            row = choose(table, calls, own)
            gains.append((table.values[row][other] - random[other]).mean() / unit)
            plain_gains.append((plain[other] - random[other]).mean() / unit)
            asks.append(table.questions[row] > 0)
        gain, plain_gain = float(np.mean(gains)), float(np.mean(plain_gains))
        rows.append(
            {
                "set": file.stem,
                "score": score,
                "budget": budget,
                "best_of_k": round(plain_gain, 4),
                "plan": round(gain, 4),
                "difference": round(gain - plain_gain, 4),
                "asks": round(float(np.mean(asks)), 4),
            }
        )
    return rows


def matrix_runs(file: Path, score: str) -> Runs:
    """The samples of a file with one of its early scores, at up to `POINTS` steps over the first half of the run."""
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist")
    try:
        with np.load(file) as arrays:
            quality, steps = arrays["base"][-1].astype(np.float64), arrays[f"{score}_steps"]
            scores, total_steps = arrays[score].astype(np.float64), len(arrays["base"])
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{file} is not valid: expected the arrays base, {score} and {score}_steps ({error})") from error
    early = np.flatnonzero(steps <= total_steps // 2)
    chosen = early[np.unique(np.linspace(0, len(early) - 1, POINTS).round().astype(int))]
    points = tuple(int(step) for step in steps[chosen])
    return Runs(points, total_steps, np.moveaxis(scores[chosen], 0, -1), quality)
