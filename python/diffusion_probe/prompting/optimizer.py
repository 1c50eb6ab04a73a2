"""Rewrites a prompt where the first steps of its own image promise little, and draws what promises most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..guard import GuardFailure
from ..metrics.registry import MetricFunction
from ..planning.plan import Plan
from ..probe.probe_info import ProbeInfo
from ..selection import Backend, Selection
from ..selection.asking import Asking
from ..selection.draw import NOT_LISTED, Planned, draw_group
from ..selection.selector import DEADLINE_MS, evaluator_of
from .course import Course, Wish
from .gate import Gate
from .optimization import Decision, Draw, Look, Optimization, Purpose
from .rewriter import Rewriter, Rewrites, ask_rewriter
from .threshold import ALWAYS

REWRITER_SECONDS = 60.0


class PromptOptimizer:
    """`PromptOptimizer(backend, rewriter, Wish(budget=2), probe=folder)(prompt)`.

    First a few steps of the prompt as given: the look. If its score is at least tau, the prompt stays; else the rewriter is
    asked. Without a budget the look goes on where the prompt stays; else a few steps of each rewrite are drawn, and the
    best is finished, or the prompt as given where no rewrite has a higher score. With a budget the rest is spent by a plan of the
    probe, whose samples are dealt in turn to the prompt as given and its rewrites.

    Every finished image is judged against the prompt as given. A failure of the rewriter or the probe raises nothing: the prompt
    as given is drawn.
    """

    def __init__(
        self,
        backend: Backend,
        rewriter: Rewriter,
        wish: Wish | None = None,
        *,
        client: Any = None,
        probe: str | Path | None = None,
        model: str | None = None,
        metric: MetricFunction | None = None,
        check: Callable[[str, str], None] | None = None,
        rewriter_seconds: float = REWRITER_SECONDS,
        first_seed: int = 0,
        deadline_ms: float = DEADLINE_MS,
    ):
        """`client`, `probe`, `model`, `metric`, `first_seed`, `deadline_ms`: as those of Selector.

        `check(prompt, rewrite)`: raises ValueError for a rewrite that is not to be drawn, besides one that the backend cannot
        draw. `rewriter_seconds`: the longest wait for the rewriter. Raises ValueError for a wish that the probe cannot meet.
        """
        self._backend, self._rewriter, self._wish = backend, rewriter, wish or Wish()
        self._evaluate = evaluator_of(backend, metric)
        self._own_check = check
        self._rewriter_seconds, self._first_seed = rewriter_seconds, first_seed
        self._asking = Asking(backend.family, client, probe, model, deadline_ms)
        self._course: tuple[ProbeInfo, Course] | None = None
        if probe is not None:
            self.course()

    def course(self) -> Course | None:
        """What is done with the probe; None if the service does not list its probes. Raises ValueError as `__init__` does."""
        info = self._asking.info()
        if info is None:
            return None
        if self._course is None or self._course[0] is not info:
            final = "score" if self._evaluate is None else "metric"
            course = Course.of(self._wish, info, self._asking.folder, final)
            course.require_room()
            self._course = info, course
        return self._course[1]

    def __call__(self, prompt: str) -> Optimization:
        """Raises ValueError for a prompt that the backend cannot draw, and what the backend raises."""
        course = self.course()
        if course is None or self._course is None:
            plan = Plan(max(1, int(self._wish.budget or 1)))
            draw = self._draw("final", prompt, self._alike(prompt, plan), Planned(plan, failures=(NOT_LISTED,)))
            return Optimization(prompt, "unscored", None, None, (draw,), draw.selection.failures, None)
        run = _Run(self, prompt, self._course[0], course)
        answer = run.optimize()
        if answer.failures:
            self._asking.forget()
        return answer

    def _check(self, prompt: str, rewrite: str) -> None:
        self._backend.check(rewrite)
        if self._own_check is not None:
            self._own_check(prompt, rewrite)

    def _alike(self, prompt: str, plan: Plan) -> list[tuple[str, int]]:
        return [(prompt, self._first_seed + index) for index in range(plan.seeds)]

    def _draw(self, purpose: Purpose, prompt: str, samples: Sequence[tuple[str, int]], planned: Planned) -> Draw:
        """Draw pairs of wording and seed as one group."""
        wordings, seeds = zip(*samples, strict=True)
        return Draw(purpose, draw_group(self._backend, self._evaluate, prompt, wordings, seeds, planned, self._wish.budget))


class _Run:
    """The optimization of one prompt."""

    def __init__(self, optimizer: PromptOptimizer, prompt: str, info: ProbeInfo, course: Course):
        self._of, self._prompt, self._info, self._course = optimizer, prompt, info, course
        self._gate = Gate(optimizer._asking.client, course.step)
        self._failures: list[GuardFailure] = []
        self._draws: list[Draw] = []
        self._look: Look | None = None
        self._rewrites: Rewrites | None = None

    def optimize(self) -> Optimization:
        decision = self._decide()
        texts: Sequence[str] = ()
        if decision == "rewritten":
            texts = self._ask_rewriter()
            decision = "rewritten" if texts else "not_rewritten"
        if not (self._draws and self._draws[-1].selection.finished):
            if self._course.plan is None:
                self._finish_one(texts)
            else:
                self._finish_by_plan(self._course.plan, texts)
        self._draws[-1] = Draw("final", self._draws[-1].selection)
        failures = tuple(self._failures)
        return Optimization(self._prompt, decision, self._look, self._rewrites, tuple(self._draws), failures, self._course)

    def _decide(self) -> Decision:
        """Whether to rewrite, after the look where one is needed."""
        tau = self._course.tau
        if not self._course.looks:
            return "rewritten" if tau == ALWAYS else "never"
        seeds = self._of._wish.look_seeds
        goes_on = self._course.plan is None
        # With a budget the plan draws other samples, so the look always ends.
        plan = Plan(seeds, ((self._course.step, 1 if goes_on else seeds),))
        self._gate.begin(lambda scores: not goes_on or (scores is not None and sum(scores) / len(scores) < tau))
        selection = self._add("look", self._of._alike(self._prompt, plan), self._gated(plan))
        self._look = Look(self._course.step, self._gate.scores and tuple(self._gate.scores))
        if self._look.score is None:
            return "unscored"
        # An image although it was to be stopped: it could not be asked about after all.
        return "rewritten" if self._look.score < tau and not selection.finished else "good_enough"

    def _ask_rewriter(self) -> Sequence[str]:
        of = self._of
        count, seconds = self._course.candidates, of._rewriter_seconds
        self._rewrites = ask_rewriter(of._rewriter, self._prompt, count, seconds, of._check)
        return self._rewrites.texts

    def _finish_one(self, rewrites: Sequence[str]) -> None:
        """Draw a few steps of each rewrite and finish the best, or the prompt as given where it has the highest score."""
        scores = self._look.scores if self._look else None
        texts = rewrites if scores else [self._prompt, *rewrites]
        if rewrites:
            plan = Plan(len(texts), ((self._course.step, 1),))
            # Without scores every candidate would be finished.
            self._gate.begin(lambda found: found is None or (scores is not None and max(found) <= max(scores)))
            if self._add("candidates", [(text, self._of._first_seed) for text in texts], self._gated(plan)).finished:
                return
        best = scores.index(max(scores)) if scores else 0
        self._add("final", [(self._prompt, self._of._first_seed + best)], Planned(Plan(1)))

    def _finish_by_plan(self, plan: Plan, rewrites: Sequence[str]) -> None:
        """Deal the samples of the plan to the prompt as given and its rewrites, in turn."""
        questions = self._of._asking.questions(self._info, plan) if plan.keep else None
        samples = dealt([self._prompt, *rewrites], plan.seeds, self._of._first_seed)
        self._add("final", samples, Planned(plan, questions))

    def _gated(self, plan: Plan) -> Planned:
        return Planned(plan, self._of._asking.questions(self._info, plan, self._gate))

    def _add(self, purpose: Purpose, samples: Sequence[tuple[str, int]], planned: Planned) -> Selection:
        draw = self._of._draw(purpose, self._prompt, samples, planned)
        self._draws.append(draw)
        self._failures += draw.selection.failures
        asked = planned.questions is not None and planned.questions.client is self._gate
        if asked and self._gate.failure is not None and self._gate.failure not in draw.selection.failures:
            self._failures.append(self._gate.failure)  # of a group that was stopped without a score
        return draw.selection


def dealt(wordings: Sequence[str], samples: int, first_seed: int = 0) -> list[tuple[str, int]]:
    """Pairs of wording and seed: the wordings in turn, each time round with the next seed."""
    return [(wordings[index % len(wordings)], first_seed + index // len(wordings)) for index in range(samples)]
