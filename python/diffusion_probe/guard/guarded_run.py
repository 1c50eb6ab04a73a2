"""A run of a pipeline that asks about its images at some steps, and no longer computes those that are dropped."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..capture import AttentionCapture, CapturedStep, CaptureRun, DenoiserCall, ObservedStep
from ..client import Kept, SampleGroup, ScoredGroup, ScoreFailure
from ..client.group import NOT_CAPTURED
from .background import Answer
from .narrowed_run import NarrowedRun
from .result import GuardFailure, Judgement, judged


class AllDroppedError(Exception):
    """Leaves the pipeline when every image was dropped, before any further step and the decoder."""


class GuardedRun(NarrowedRun):
    """A run that asks the service about its remaining images while the denoiser is running."""

    def __init__(
        self,
        capture: AttentionCapture,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        token_mask: np.ndarray | None,
        *,
        client: Any,
        deadline_ms: float,
        options: Callable[[CaptureRun], Mapping[str, Any]],
        one_group: bool = False,
    ):
        """The first four: as those of CaptureRun. `options`: further arguments of `score`, for a run that has begun.

        `one_group`: one group of all images, in place of one per prompt.
        """
        super().__init__(capture, args, kwargs, token_mask)
        self.id = uuid.uuid4().hex
        self.judgements: dict[int, list[Judgement]] = {}  # by image
        self.failures: list[GuardFailure] = []
        self.problem_codes: set[str] = set()  # of the problems that the service reported
        self._client, self._deadline_ms, self._options = client, deadline_ms, options
        self._one_group = one_group
        self._groups: list[SampleGroup] = []  # with the images' indices; none until the first captured step
        self._answers: list[tuple[SampleGroup, Answer]] = []  # that are awaited

    def execute(self) -> None:
        """Run the pipeline to its end, or until every image is dropped."""
        try:
            super().execute()
        except AllDroppedError:
            # The pipeline does this at its end: it offloads its models and resets their caches.
            self._pipe.maybe_free_model_hooks()
            self.output = [[None] * self.total_images]
            return
        for step, why in self.missing.items():
            self._fail_images(step, NOT_CAPTURED, why, self._remaining())

    def on_step(self, captured: CapturedStep) -> None:
        """Ask about the remaining images of each group. The denoiser is still running."""
        try:
            self._groups = self._groups or self._new_groups(captured)
            attention = captured.attention
            self._answers = [(group, self._ask(group, captured, attention)) for group in self._groups if group.remaining]
        except Exception as error:
            self._fail_images(captured.step, NOT_CAPTURED, repr(error), self._remaining())

    def evaluate(self, call: DenoiserCall) -> Any:
        """Evaluate a call for the remaining images, then wait for what was asked during it."""
        output = self._evaluate_narrowed(call)
        answers, self._answers = self._answers, []
        for group, answer in answers:
            asked = group.remaining
            group.apply(answer.outcome())
            self._judge(call.step or 0, asked, group.outcomes[-1])
        if answers:
            self._remove_dropped()
        return output

    def _new_groups(self, captured: CapturedStep) -> list[SampleGroup]:
        shared = {**self._options(self), "deadline_ms": self._deadline_ms, "total_steps": captured.total_steps}
        owners = [0] * len(captured.images) if self._one_group else captured.prompts
        groups = []
        for number in sorted(set(owners)):
            images = (image for image, owner in zip(captured.images, owners, strict=True) if owner == number)
            groups.append(SampleGroup(self._client, images, {**shared, "group": f"{self.id}/{number}"}, self.id))
        return groups

    def _ask(self, group: SampleGroup, captured: CapturedStep, attention: np.ndarray) -> Answer:
        rows = [captured.images.index(image) for image in group.remaining]
        mask = captured.token_mask[rows]
        tokens = int(mask.sum(axis=1).max())
        observed = ObservedStep(attention[rows][:, :, :tokens], (), mask[:, :tokens], self.settings.capture_id, "")
        ask = functools.partial(group.ask, observed, step=captured.step, timestep=captured.timestep)
        return Answer(ask, self._deadline_ms)

    def _judge(self, step: int, images: Sequence[int], outcome: ScoredGroup | ScoreFailure) -> None:
        judgements, failure = judged(step, outcome, len(images))
        for image, judgement in zip(images, judgements, strict=True):
            self.judgements.setdefault(image, []).append(judgement)
        if failure is not None:
            self.failures.append(failure)
        if isinstance(outcome, ScoreFailure) and outcome.problem is not None:
            self.problem_codes.add(outcome.problem.code)

    def _fail_images(self, step: int, reason: str, detail: str, images: Sequence[int]) -> None:
        """Note that images were kept without a score."""
        self.failures.append(GuardFailure(step, reason, detail))
        for image in images:
            self.judgements.setdefault(image, []).append(Judgement(step, "keep", reason))

    def _remaining(self) -> list[int]:
        return sorted(image for group in self._groups for image in group.remaining)

    def _remove_dropped(self) -> None:
        kept = Kept.of(self._remaining(), self.total_images)
        if len(kept) == (len(self._kept) if self._kept else self.total_images):
            return
        if not kept:
            raise AllDroppedError
        self._keep(kept)

    def _forget_pending(self) -> None:
        self._answers = []
