"""The study `prompt`: rewriting below tau beside always rewriting, and beside a plan alone, on a matrix of wordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..planning.choice import best_of_budget
from ..planning.plan import CALLS
from ..planning.runs import Runs
from ..planning.within import plan_within
from ..probe.manifest import read_manifest
from ..probe.probe_info import ProbeInfo
from .course import Course, Wish
from .matrix import Matrix
from .policies import Value, as_given, by_plan, one_image, unseen_rewrite
from .ranking import DIGITS, figure, known, per, ranking
from .record import tau_entry
from .threshold import ALWAYS, NEVER

LOWEST = (0.2, 0.3, 0.4, 0.5, 0.6)  # shares of the calibration's images, for the curve over tau


@dataclass(frozen=True)
class Policies:
    """The values of all policies that are compared."""

    one_image: Mapping[str, Value]
    budget: Mapping[str, Value]  # for the same denoiser calls


def study_prompt(matrix: Matrix, folder: Path, wish: Wish, budget: float) -> dict[str, Any]:
    """The figures of the probe in `folder` for JSON. `wish`: as for PromptOptimizer, of one image.

    An interval is that of 95% over resampled captions, paired where it is of a difference or a ratio. Raises ValueError for a
    budget that is too small, and for a plan of more seeds than were drawn.
    """
    manifest = read_manifest(folder)
    info = ProbeInfo.read(matrix.probe, manifest, manifest.get("backbone", ""))
    single = Course.of(wish, info, folder, "metric")
    course = Course.of(replace(wish, tau=single.tau, budget=budget), info, folder, "metric")
    policies = _policies(matrix, manifest, folder, single, course, wish, budget)
    of_one, of_budget = policies.one_image, policies.budget
    given, below, always = (of_one[name] for name in ("as given", "rewrite below tau", "always rewrite"))
    ours, plan, best = (of_budget[name] for name in ("prompt optimization + plan", "plan alone", "best-of-k"))
    captions = len(matrix.wordings)
    curve = []
    for lowest in LOWEST if manifest.get("trajectories") else ():
        tau = Course.of(replace(wish, tau=None, lowest=lowest), info, folder, "metric").tau
        value = one_image(matrix, single.step, tau, wish.rewriter_calls)
        curve.append({"lowest": lowest, "tau": known(tau), **_beside_always(given, value, always)})
    return {
        "probe": matrix.probe,
        "captions": captions,
        "wordings": round(float(matrix.counts.mean()), DIGITS),
        "seeds": matrix.seeds,
        "look_step": single.step,
        "candidates": wish.candidates,
        "rewriter_calls": wish.rewriter_calls,
        "tau": tau_entry(single),
        **_beside_always(given, below, always),
        "one_image": [_row(name, value, given, captions) for name, value in of_one.items()],
        "by_tau": curve,
        "budget": budget,
        "plan": course.plan.text() if course.plan else None,
        "at_budget": [_row(name, value, plan, captions) for name, value in of_budget.items()],
        **figure("better_than_plan_alone", _mean_of(ours.quality - plan.quality), captions),
        **figure("better_than_best_of_k", _mean_of(ours.quality - best.quality), captions),
        **ranking(matrix, single.step, tuple(manifest["metric"]["range"])),
    }


def _beside_always(given: Value, below: Value, always: Value) -> dict[str, Any]:
    """The gain per additional call and per call, and the gain, each beside that of always rewriting."""
    gain, gain_always = below.quality - given.quality, always.quality - given.quality
    extra, extra_always = below.calls - given.calls, always.calls - given.calls

    def ratio(rows: np.ndarray | slice) -> float:
        return per(per(gain[rows].sum(), extra[rows].sum()), per(gain_always[rows].sum(), extra_always[rows].sum()))

    def ratio_of_all_calls(rows: np.ndarray | slice) -> float:
        return per(per(gain[rows].sum(), below.calls[rows].sum()), per(gain_always[rows].sum(), always.calls[rows].sum()))

    def kept(rows: np.ndarray | slice) -> float:
        return per(gain[rows].sum(), gain_always[rows].sum())

    return {
        "rewritten": known(below.rewritten),
        **figure("gain_per_call_ratio", ratio, len(gain)),
        **figure("gain_per_call_ratio_of_all_calls", ratio_of_all_calls, len(gain)),
        **figure("share_of_always_rewriting_gain", kept, len(gain)),
    }


def _policies(
    matrix: Matrix, manifest: Mapping[str, Any], folder: Path, single: Course, course: Course, wish: Wish, budget: float
) -> Policies:
    step, tau, total_steps, rewriter_calls = single.step, single.tau, matrix.total_steps, wish.rewriter_calls
    alone = plan_within(budget * total_steps, manifest, folder)
    rows = matrix.first
    given = Runs(matrix.points, total_steps, matrix.scores[rows], matrix.quality[rows])
    whole = np.full(len(rows), budget * total_steps)
    look_calls = step if course.looks else 0
    dealt, most = course.plan or alone, min(wish.candidates, alone.seeds - 1)
    return Policies(
        {
            "as given": as_given(matrix),
            "a rewrite that no probe has seen": unseen_rewrite(matrix, rewriter_calls),
            "rewrite below tau": one_image(matrix, step, tau, rewriter_calls),
            "always rewrite": one_image(matrix, step, ALWAYS, rewriter_calls),
            "always rewrite, true quality instead of the score": one_image(matrix, step, ALWAYS, rewriter_calls, oracle=True),
        },
        {
            "best-of-k": Value(best_of_budget(given, budget * total_steps, CALLS), whole),
            "plan alone": by_plan(matrix, alone, 0, step, NEVER, 0.0, 0),
            "prompt optimization + plan": by_plan(matrix, dealt, course.candidates, step, tau, rewriter_calls, look_calls),
            "always rewrite + plan": by_plan(matrix, alone, most, step, ALWAYS, rewriter_calls, 0),
        },
    )


def _row(name: str, value: Value, beside: Value, captions: int) -> dict[str, Any]:
    return {
        "policy": name,
        **figure("quality", _mean_of(value.quality), captions),
        **figure("gain", _mean_of(value.quality - beside.quality), captions),
        "calls": known(float(value.calls.mean())),
        "rewritten": known(value.rewritten),
    }


def _mean_of(values: np.ndarray) -> Callable[[np.ndarray | slice], float]:
    return lambda rows: float(values[rows].mean())
