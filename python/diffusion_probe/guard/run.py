"""One guarded run: who is still alive, what is being asked, and what was said."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from ..capture import CapturedStep, DenoiserCall, PipelineRun, family_of
from ..capture.patched_attribute import patched_attribute
from ..client import ScoredGroup
from .judge import BROKEN_CLIENT, Judge, Question, Verdict, sample_id
from .result import GuardedSample, GuardFailure, GuardResult, Judgement
from .rows import LivingRows, by_image

NOT_CAPTURED = "not_captured"

log = logging.getLogger("diffusion_probe.guard")

CarryOut = Callable[[DenoiserCall], Any]


class NobodyLeftError(Exception):
    """Every sample was dropped: the way out of the pipeline, in front of all that would follow."""


class GuardedRun:
    """Stands around the calls of a denoiser for the time of one call of its pipeline."""

    def __init__(self, pipe: Any, judge: Judge):
        self._pipe = pipe
        self._family = family_of(pipe)
        self._judge = judge
        self._name = uuid.uuid4().hex
        self._living: LivingRows | None = None  # unknown until the first step that was captured
        self._reduces = True
        self._question: Question | None = None
        self._judgements: dict[int, list[Judgement]] = {}
        self.failures: list[GuardFailure] = []
        self.refusals: set[str] = set()  # codes of the problems that the service named

    def generate(self, prepared: PipelineRun) -> GuardResult:
        """Run the pipeline to its end, or until nobody is left."""
        try:
            with self._masked_decode():
                prepared.execute()
        except NobodyLeftError:
            # The pipeline would have done this at its end: offload its models, forget what caches hold.
            self._pipe.maybe_free_model_hooks()
            return self._result([None] * len(self._judgements))
        for step, why in prepared.result.missing.items():
            self._fail(step, NOT_CAPTURED, why)
        return self._result(by_image(prepared.result.output[0]))

    def watch(self, captured: CapturedStep) -> None:
        """A step was captured, and the denoiser is still at work: ask."""
        try:
            living = self._living = self._living or LivingRows(captured.images, captured.total_images)
            self._question = self._judge.ask(captured, living.images, self._name)
        except Exception as error:
            self._fail(captured.step, NOT_CAPTURED, repr(error))

    def around(self, call: DenoiserCall, carry_out: CarryOut) -> Any:
        """Carry out a call for the living, then hear what was asked during it."""
        output = self._for_the_living(call, carry_out)
        question, self._question = self._question, None
        if question is not None:
            self._hear_all(question)
        if self._living is not None:
            self._bury(self._living)
        return output

    def _for_the_living(self, call: DenoiserCall, carry_out: CarryOut) -> Any:
        living = self._living
        if living is None or len(living.images) == living.total or not self._reduces:
            return carry_out(call)
        try:
            rows = len(call.arguments[self._family.sample])
            return living.spread(carry_out(living.reduce(call, self._family.sample)), rows)
        except Exception as error:
            # An adapter may hold rows where nobody looks for them. All rows still work, and cost what they did without guard.
            log.warning("dropped samples go on costing, since the denoiser does not run without their rows: %r", error)
            self._reduces = False
            self._question = None
            return carry_out(call)

    def _hear_all(self, question: Question) -> None:
        for verdict in question.verdicts():
            try:
                self._hear(question.step, verdict)
            except Exception as error:  # a client of another make, with answers of another form
                self._fail(question.step, BROKEN_CLIENT, repr(error), verdict.images)

    def _hear(self, step: int, verdict: Verdict) -> None:
        outcome = verdict.outcome
        if isinstance(outcome, ScoredGroup):
            # All or nothing: an answer of which a part makes no sense drops nobody.
            judgements = [Judgement(step, result.decision, result.reason, result) for result in outcome.results]
            for image, judgement in list(zip(verdict.images, judgements, strict=True)):
                self._note(image, judgement)
            return
        if outcome.problem is not None:
            self.refusals.add(outcome.problem.code)
        detail = outcome.error if outcome.problem is None else outcome.problem.detail
        self.failures.append(GuardFailure(step, outcome.reason, str(detail or outcome.reason)))
        for image in verdict.images:
            self._note(image, Judgement(step, "keep", outcome.reason))

    def _bury(self, living: LivingRows) -> None:
        """Let the dropped go."""
        alive = tuple(image for image in living.images if not self._was_dropped(image))
        if alive == living.images:
            return
        if not alive:
            raise NobodyLeftError
        self._living = LivingRows(alive, living.total)
        denoiser = getattr(self._pipe, self._family.denoiser)
        # What a block cache remembers is as wide as the batch was.
        getattr(denoiser, "_reset_stateful_cache", lambda: None)()

    def _was_dropped(self, image: int) -> bool:
        return any(judgement.decision == "drop" for judgement in self._judgements.get(image, ()))

    def _masked_decode(self) -> AbstractContextManager[None]:
        """Inside it the VAE decodes the living alone."""
        vae = getattr(self._pipe, "vae", None)
        if vae is None:
            return nullcontext()
        decode = vae.decode

        def decode_living(latents: Tensor, *args: Any, **kwargs: Any) -> Any:
            living = self._living
            if living is None or len(living.images) == living.total or len(latents) != living.total:
                return decode(latents, *args, **kwargs)
            return living.spread(decode(living.of(latents), *args, **kwargs), living.total)

        return patched_attribute(vae, "decode", decode_living)

    def _fail(self, step: int, reason: str, detail: str, images: Sequence[int] | None = None) -> None:
        """Note that images were not judged, by default the living."""
        self.failures.append(GuardFailure(step, reason, detail))
        living = self._living.images if self._living else ()
        for image in living if images is None else images:
            self._note(image, Judgement(step, "keep", reason))

    def _note(self, image: int, judgement: Judgement) -> None:
        self._judgements.setdefault(image, []).append(judgement)

    def _result(self, images: Sequence[Any | None]) -> GuardResult:
        unjudged = [Judgement(failure.step, "keep", failure.reason) for failure in self.failures]
        samples = []
        for index, image in enumerate(images):
            judgements = tuple(self._judgements.get(index) or unjudged)
            samples.append(
                GuardedSample(index, sample_id(self._name, index), None if self._was_dropped(index) else image, judgements)
            )
        return GuardResult(tuple(samples), tuple(self.failures))


def unguarded(pipe: Any, args: tuple, kwargs: Mapping[str, Any], failures: list[GuardFailure]) -> GuardResult:
    """A run as without guard, where there is nothing to guard with."""
    name = uuid.uuid4().hex
    images = by_image(pipe(*args, **kwargs)[0])
    judgements = tuple(Judgement(failure.step, "keep", failure.reason) for failure in failures)
    samples = (GuardedSample(index, sample_id(name, index), image, judgements) for index, image in enumerate(images))
    return GuardResult(tuple(samples), tuple(failures))
