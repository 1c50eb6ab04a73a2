"""Quality against budget: a plan beside everything else that the same denoiser calls can buy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..evaluation.figures import best_of_drawn
from .choice import best_of_budget, judged_values
from .plan import CALLS, Costs, Plan
from .planner import Planner
from .runs import Runs
from .search import PlanTable, plan_table

MOST_IMAGES = 8.0
STEP = 0.25  # whole images between two budgets of a curve
SPLITS = 2


def quality_curves(planner: Planner, preview: Runs | None = None) -> dict[str, np.ndarray]:
    """Mean quality by method, each [budgets], and `budget` in whole images.

    `preview`: runs of the same prompts whose scores are the metric of the x0 preview.
    """
    wish, runs = planner.wish, planner.calibration
    most = min(MOST_IMAGES, wish.most_seeds or runs.seeds)
    images = np.arange(wish.pick, most + STEP / 2, STEP)
    budgets = images * planner.image_cost
    table = plan_table(runs, budgets[-1], wish.costs, wish.pick, wish.final, wish.most_seeds)
    single = table.rows(np.flatnonzero(table.questions <= 1))

    def chosen(of: PlanTable) -> np.ndarray:
        return np.array([judged_values(of, budget, SPLITS).mean() for budget in budgets])

    curves = {
        "budget": images,
        "random": np.full(len(images), runs.quality.mean()),
        "best-of-k": np.array([best_of_budget(runs, budget, wish.costs, wish.pick).mean() for budget in budgets]),
        "one stage": chosen(single),
        "plan": chosen(table),
    }
    if preview is not None:
        of_preview = plan_table(preview, budgets[-1], wish.costs, wish.pick, wish.final, wish.most_seeds)
        curves["x0 preview + metric"] = chosen(of_preview)
    curves["oracle"] = np.array([oracle_values(runs, budget, wish.costs, wish.pick).mean() for budget in budgets])
    return curves


def oracle_values(runs: Runs, budget: float, costs: Costs = CALLS, pick: int = 1) -> np.ndarray:
    """[prompts]: the quality with perfect scores: as many seeds as possible to the first point, the best finished."""
    most = pick
    for seeds in range(pick + 1, runs.seeds + 1):
        if Plan(seeds, ((runs.points[0], pick),)).cost(runs.total_steps, costs) <= budget:
            most = seeds
    return best_of_drawn(runs.quality, most, pick)


def draw_curves(curves: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Write the curves as a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    styles = {"random": ":", "oracle": "--", "plan": "-"}
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for name, values in curves.items():
        if name != "budget":
            axes.plot(curves["budget"], values, styles.get(name, "-."), linewidth=2.2 if name == "plan" else 1.4, label=name)
    axes.set(xlabel="denoiser calls, in whole images", ylabel="expected quality of the finished image", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
