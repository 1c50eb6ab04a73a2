"""The best plan for any number of denoiser calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation.trajectories import TRAJECTORIES
from ..probe.manifest import total_steps_of
from .choice import choose
from .plan import Plan
from .planner import Planner, Wish


def plan_within(calls: float, manifest: Mapping[str, Any], folder: Path | None, final: str = "metric") -> Plan:
    """The plan of a probe for at most so many denoiser calls. `final`: as in Wish.

    Computed from the trajectories in the probe's folder. Without them: the probe's plan for the highest budget that fits, unless
    more whole images fit. Raises ValueError for fewer calls than an image has.
    """
    total_steps = total_steps_of(manifest)
    if calls < total_steps:
        raise ValueError(f"{calls:g} denoiser calls: an image has {total_steps}")
    if folder is not None and manifest.get("trajectories") and (folder / TRAJECTORIES).exists():
        planner = Planner.of(folder, Wish(final=final), calls / total_steps)
        return planner.table.plans[choose(planner.table, calls)]
    plain = Plan(int(calls // total_steps) if final == "metric" else 1)
    fitting = [entry for entry in manifest.get("plans", []) if entry["calls"] <= calls and entry["final"] == final]
    best = max(fitting, key=lambda entry: entry["budget"], default=None)
    if best is None or best["budget"] < plain.seeds:
        return plain
    return Plan(best["seeds"], tuple(sorted((int(step), count) for step, count in best["keep"].items())))
