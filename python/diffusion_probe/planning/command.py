"""The command `plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .planner import USUAL_BUDGETS, Planner, Wish, figures_of, write_plans
from .text import plan_text


def plan_command(
    folder: Path, wish: Wish, budgets: Sequence[float], curve: Path | None, data: Path | None, write: bool
) -> tuple[str, dict[str, Any]]:
    """Plans of the probe in `folder` for `budgets` in whole images, as text and as figures for JSON.

    `curve`: PNG file of quality against budget; with `data`, the probe's data set, also of the x0 preview. `write`: put the plans
    for the usual budgets into probe.json.
    """
    written = [budget for budget in USUAL_BUDGETS if budget >= wish.pick] if write else []
    planner = Planner.of(folder, wish, max([*budgets, *written]))
    plans = [planner.plan(budget) for budget in budgets]
    if curve is not None:
        from .curve import draw_curves, quality_curves
        from .preview import preview_runs

        preview = None if data is None else preview_runs(data, planner.calibration.points)
        draw_curves(quality_curves(planner, preview), planner.probe, curve)
    if write:
        write_plans(folder, [planner.plan(budget) for budget in written])
    tested = [{"test": None if chosen.tested is None else figures_of(chosen.tested)} for chosen in plans]
    entries = [{**chosen.entry(), **test} for chosen, test in zip(plans, tested, strict=True)]
    return plan_text(planner, plans), {"probe": planner.probe, "plans": entries}


def images_of(wish: Wish, total_steps: int, images: float | None, calls: float | None, seconds: float | None) -> list[float]:
    """The budget in whole images, from whichever of the three is given; the usual budgets where none is."""
    if images is not None:
        return [images]
    if calls is not None:
        return [calls / total_steps]
    if seconds is not None:
        return [seconds / wish.costs.image(total_steps)]
    return [budget for budget in USUAL_BUDGETS if budget >= wish.pick] or [float(wish.pick)]
