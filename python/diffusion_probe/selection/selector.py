"""Selects the best of several seeds: `Selector` for many prompts, `select` for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..guard.served_probe import plan_of
from ..metrics.quality import QualityEvaluator
from ..metrics.registry import MetricFunction
from ..planning.plan import Plan
from ..probe.probe_info import ProbeInfo
from .asking import Asking
from .backend import Backend
from .draw import NOT_LISTED, Planned, draw_group
from .pipeline import PipelineBackend
from .selection import Selection

DEADLINE_MS = 10_000.0  # a selection would rather wait than finish all seeds


class Selector:
    """`Selector(backend, 3, client=client)(prompt)` draws seeds by the plan for three whole images, and ranks what is finished.

    A failure of the service raises nothing. If it does not list its probes, a budget buys as many whole images, and a written-out
    plan finishes all of its seeds. If it does not answer a question, that question drops nothing.
    """

    def __init__(
        self,
        backend: Backend,
        plan: float | Plan,
        *,
        client: Any = None,
        probe: str | Path | None = None,
        model: str | None = None,
        metric: MetricFunction | None = None,
        first_seed: int = 0,
        deadline_ms: float = DEADLINE_MS,
    ):
        """`plan`: a budget in whole images, for which the probe has a plan, or a plan. `Plan(3)` is plain best-of-3.

        `client`: a ProbeClient. `probe`: the folder of a probe, which answers by itself without `client`. `model`: `name` or
        `name@version`, by default the service's. `metric`: of the finished images; by default the backend's own. `first_seed`:
        seeds count from it. `deadline_ms`: the longest wait for one answer. Raises ValueError for a plan that the probe cannot
        execute, CaptureError for a backend that cannot be asked about, and FileNotFoundError.
        """
        self._backend = backend
        self._budget = None if isinstance(plan, Plan) else plan
        self._policy = policy_of(plan)
        self._first_seed = first_seed
        self._evaluate = evaluator_of(backend, metric)
        self._planned: Planned | None = None
        self._asking: Asking | None = None
        if self._budget is None and not self._policy["keep"]:
            self._planned = Planned(plan)
            return
        self._asking = Asking(backend.family, client, probe, model, deadline_ms)
        if probe is not None:
            self._plan(self._asking)

    def __call__(self, prompt: str) -> Selection:
        """Raises ValueError for a prompt that the backend cannot draw, and what the backend raises."""
        planned = self._planned or self._plan(self._asking)
        seeds = range(self._first_seed, self._first_seed + planned.plan.seeds)
        selection = draw_group(self._backend, self._evaluate, prompt, [prompt] * len(seeds), seeds, planned, self._budget)
        if selection.failures and self._asking is not None and self._asking.folder is None:
            self._asking.forget()
            self._planned = None
        return selection

    def _plan(self, asking: Asking) -> Planned:
        """Raises ValueError where the service has no probe, or none with this plan."""
        info = asking.info()
        if info is None:
            seeds = self._policy["seeds"] if self._budget is None else max(1, int(self._budget))
            return Planned(Plan(seeds), failures=(NOT_LISTED,))
        self._planned = self._plan_for(asking, info)
        return self._planned

    def _plan_for(self, asking: Asking, info: ProbeInfo) -> Planned:
        found = plan_of(info, self._policy)
        assert found is not None
        plan = Plan(found.seeds, tuple(found.keep.items()))
        return Planned(plan, asking.questions(info, plan) if plan.keep else None, found.expected)


def evaluator_of(backend: Backend, metric: MetricFunction | None) -> QualityEvaluator | None:
    """Of a metric, by default the backend's own; None where there is none."""
    chosen = metric or backend.metric
    return None if chosen is None else QualityEvaluator(chosen)


def select(
    pipe: Any,
    prompt: str,
    *,
    plan: float | Plan,
    metric: MetricFunction | None = None,
    steps: int | None = None,
    call: Mapping[str, Any] | None = None,
    **options: Any,
) -> Selection:
    """Draw seeds of one prompt by a plan, and rank the finished images.

    `pipe`: a pipeline of diffusers, or a Backend. `plan`, `metric` and `options`: as those of Selector. `steps` (default: 25) and
    `call`: denoising steps and further arguments of a pipeline. The raised errors are those of Selector.
    """
    if hasattr(pipe, "draw"):
        if steps is not None or call is not None:
            raise ValueError("steps and call are for a pipeline of diffusers: a backend has its own")
        return Selector(pipe, plan, metric=metric, **options)(prompt)
    settings = {} if steps is None else {"steps": steps}
    return Selector(PipelineBackend(pipe, call=call, **settings), plan, metric=metric, **options)(prompt)


def policy_of(plan: float | Plan) -> dict[str, Any]:
    """The policy `plan` for a budget or a plan. Raises ValueError for a plan that contradicts itself."""
    if not isinstance(plan, Plan):
        return {"name": "plan", "budget": plan}
    alive, last = plan.seeds, 0
    for step, count in plan.keep:
        if not 1 <= count <= alive or step <= last:
            raise ValueError(f"{plan.text()}: expected ascending steps, and counts from {alive} down to 1")
        alive, last = count, step
    if alive < 1:
        raise ValueError(f"a plan of {plan.seeds} seeds: expected at least 1")
    return {"name": "plan", "seeds": plan.seeds, "keep": {str(step): count for step, count in plan.keep}}
