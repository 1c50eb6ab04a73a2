"""Selects the best of several seeds: `Selector` for many prompts, `select` for one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..guard import GuardFailure
from ..guard.probe_info import ProbeInfo, served_probe
from ..metrics.quality import QualityEvaluator
from ..metrics.registry import MetricFunction
from ..planning.plan import Plan
from ..probe.manifest import read_manifest
from .backend import Backend, Questions
from .local_client import LocalClient
from .pipeline import PipelineBackend
from .selection import Selection, ranked, stages_of

DEADLINE_MS = 10_000.0  # a selection would rather wait than finish all seeds
BEFORE_THE_RUN = 0  # the step of a failure
NO_PROBE = "no_probe"


@dataclass(frozen=True)
class Planned:
    """What the next run does."""

    plan: Plan
    questions: Questions | None = None  # None: no probe is asked
    expected: Mapping[str, Any] | None = None  # of the probe's plan for the budget
    failures: tuple[GuardFailure, ...] = ()  # why no probe is asked, although the plan has questions


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
        self._client = client
        self._model = model
        self._first_seed = first_seed
        self._deadline_ms = deadline_ms
        metric = metric or backend.metric
        self._evaluate = None if metric is None else QualityEvaluator(metric)
        self._info: ProbeInfo | None = None
        self._planned: Planned | None = None
        if not self._asks:
            self._planned = Planned(plan)
        elif probe is not None:
            manifest = read_manifest(Path(probe))
            self._client = client or LocalClient(Path(probe))
            self._info = ProbeInfo.read(f"{manifest['name']}@{manifest['version']}", manifest, backend.family)
            self._planned = self._plan_for(self._info)
        elif client is None:
            raise ValueError("a client or the folder of a probe is needed, except for a plan without questions")

    def __call__(self, prompt: str) -> Selection:
        """Raises ValueError for a prompt that the backend cannot draw, and what the backend raises."""
        planned = self._planned or self._plan_by_service()
        seeds = range(self._first_seed, self._first_seed + planned.plan.seeds)
        drawn = self._backend.draw(prompt, seeds, planned.questions)
        if drawn.failures and self._info is None:
            self._planned = None  # the service may have another probe by now
        started = time.monotonic()
        quality: list[float | None] = [None] * len(seeds)
        finished = [index for index, sample in enumerate(drawn.samples) if sample.image is not None]
        if self._evaluate is not None:
            values = self._evaluate([drawn.samples[index].image for index in finished], [prompt] * len(finished))
            for index, value in zip(finished, values.tolist(), strict=True):
                quality[index] = value if math.isfinite(value) else None
        samples, ranked_by = ranked(seeds, drawn.samples, quality)
        return Selection(
            prompt,
            planned.plan,
            self._budget,
            planned.expected,
            planned.questions and planned.questions.model,
            samples,
            ranked_by,
            (*planned.failures, *drawn.failures),
            drawn.differences,
            stages_of(drawn),
            drawn.total_steps,
            {"draw": drawn.seconds, "ask": drawn.asking_seconds, "measure": time.monotonic() - started},
        )

    @property
    def _asks(self) -> bool:
        return self._budget is not None or bool(self._policy["keep"])

    def _plan_by_service(self) -> Planned:
        """The service is asked in each run until it answers. Raises ValueError where it has no probe, or none with this plan."""
        models = self._client.models(deadline_ms=self._deadline_ms)
        if models is None:
            seeds = self._policy["seeds"] if self._budget is None else max(1, int(self._budget))
            return Planned(Plan(seeds), failures=(GuardFailure(BEFORE_THE_RUN, NO_PROBE, "the service did not list its probes"),))
        self._planned = self._plan_for(served_probe(models, self._model, self._backend.family))
        return self._planned

    def _plan_for(self, info: ProbeInfo) -> Planned:
        plan = info.plan(self._policy)
        assert plan is not None
        if not plan.keep:
            return Planned(Plan(plan.seeds), expected=plan.expected)
        info.choose_steps(tuple(plan.keep))
        keep = {str(step): count for step, count in plan.keep.items()}
        # Written out, so that all steps follow one plan even if the service loads another version of the probe meanwhile. What
        # exploration saves would exceed the budget.
        policy = {"name": "plan", "seeds": plan.seeds, "keep": keep, "explore": {"rate": 0}}
        questions = Questions(self._client, info, policy, self._deadline_ms)
        return Planned(Plan(plan.seeds, tuple(plan.keep.items())), questions, plan.expected)


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
