"""Plans in words, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .choice import Expectation
from .planner import ChosenPlan, Planner


def plan_text(planner: Planner, plans: Sequence[ChosenPlan]) -> str:
    """What each plan does, costs and may expect."""
    runs, wish = planner.calibration, planner.wish
    ranked = "the true metric" if wish.final == "metric" else "the last score"
    used = "the best finished image" if wish.pick == 1 else f"the mean of the best {wish.pick} finished images"
    head = (
        f"{planner.probe}: plans chosen on {runs.prompts} calibration prompts of {runs.seeds} seeds, for {used} by {ranked}; "
        f"{runs.total_steps} steps a run. Brackets are 95% intervals over prompts."
    )
    return "\n\n".join([head, *(_one(planner, chosen) for chosen in plans)])


def _one(planner: Planner, chosen: ChosenPlan) -> str:
    plan, total_steps = chosen.plan, planner.calibration.total_steps
    asked = f"{plan.text()}, finish {plan.finished}"
    lines = [f"Budget {chosen.budget:g} images ({chosen.budget * total_steps:g} calls): {asked}; {chosen.calls} calls"]
    if not chosen.is_better:
        lines.append("  Plain best-of-k is the better buy: no plan with a question is expected to do better.")
    lines.append(f"  expected        {_figures(chosen.expected)}")
    if chosen.tested:
        lines.append(f"  on test prompts {_figures(chosen.tested)}")
    return "\n".join(lines)


def _figures(expected: Expectation) -> str:
    def figure(values: tuple[float, float, float]) -> str:
        value, low, high = values
        return f"{value:.3f} [{low:.3f}, {high:.3f}]"

    return (
        f"quality {figure(expected.quality)}, plain best-of-k {figure(expected.best_of_k)}, gain {figure(expected.gain)}; "
        f"gap closed {expected.gap_closed[0]:.2f} instead of {expected.best_of_k_gap_closed[0]:.2f}"
    )
