"""One guarded run of a pipeline: which images remain, which scores are pending, and what was decided."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from ..capture import CapturedStep, CaptureRun, DenoiserCall, PipelineRun, family_of
from ..capture.denoiser_calls import Handler
from ..capture.patched_attribute import patched_attribute
from ..client import ScoredGroup
from ..client.group import NOT_CAPTURED, sample_id
from .batch_subset import BatchLayoutError, BatchSubset
from .probe_info import ProbeInfo
from .result import GuardedSample, GuardFailure, GuardResult, Judgement
from .step_scorer import CLIENT_FAILED, GroupOutcome, PendingScores, StepScorer

log = logging.getLogger("diffusion_probe.guard")


class AllDroppedError(Exception):
    """Leaves the pipeline when every sample was dropped, before any further step and the decoder."""


class GuardedRun:
    """Intercepts the denoiser calls of one pipeline run."""

    def __init__(self, pipe: Any, scorer: StepScorer, info: ProbeInfo):
        self._pipe = pipe
        self._info = info
        self._run: CaptureRun | None = None
        self._fingerprints: dict[str, Any] | None = None  # known from the first captured step on
        self._family = family_of(pipe)
        self._scorer = scorer
        self._id = uuid.uuid4().hex
        self._remaining: BatchSubset | None = None  # unknown until the first captured step
        self._narrows = True  # whether the denoiser runs for the remaining images only
        self._pending: PendingScores | None = None
        self._judgements: dict[int, list[Judgement]] = {}
        self.failures: list[GuardFailure] = []
        self.problem_codes: set[str] = set()  # of the problems that the service reported

    def generate(self, run: PipelineRun) -> GuardResult:
        """Run the pipeline to its end, or until every sample is dropped."""
        self._run = run.result
        try:
            with self._narrowed_decoder():
                run.execute()
        except AllDroppedError:
            # The pipeline does this at its end: it offloads its models and resets their caches.
            self._pipe.maybe_free_model_hooks()
            return self._result([None] * len(self._judgements))
        for step, why in run.result.missing.items():
            self._fail(step, NOT_CAPTURED, why)
        return self._result(_images(run.result.output))

    def on_step(self, captured: CapturedStep) -> None:
        """Request scores for a captured step. The denoiser is still running."""
        try:
            self._remaining = self._remaining or BatchSubset(captured.images, captured.total_images)
            self._fingerprints = self._fingerprints or self._info.fingerprints(self._run)
            self._pending = self._scorer.submit(captured, self._remaining.images, self._id, self._fingerprints)
        except Exception as error:
            self._fail(captured.step, NOT_CAPTURED, repr(error))

    def intercept(self, call: DenoiserCall, evaluate: Handler) -> Any:
        """Evaluate a call for the remaining images, then wait for the scores that were requested during it."""
        output = self._evaluate(call, evaluate)
        pending, self._pending = self._pending, None
        if pending is not None:
            self._record_all(pending)
        if self._remaining is not None:
            self._remove_dropped(self._remaining)
        return output

    def _evaluate(self, call: DenoiserCall, evaluate: Handler) -> Any:
        remaining = self._remaining
        if remaining is None or len(remaining.images) == remaining.total or not self._narrows:
            return evaluate(call)
        try:
            rows = len(call.arguments[self._family.sample])
            return remaining.scatter(evaluate(remaining.select(call, self._family.sample)), rows)
        except BatchLayoutError as error:
            # For example, a callback of the user evaluates some of the images.
            log.warning("a call of the denoiser goes on with its own rows: %s", error)
            return evaluate(call)
        except Exception as error:
            # For example, an adapter holds one value per row of the whole batch. The whole batch still works.
            log.warning("the denoiser fails without the rows of dropped samples, so it goes on with all rows: %r", error)
            self._narrows = False
            self._pending = None
            return evaluate(call)

    def _record_all(self, pending: PendingScores) -> None:
        for group in pending.outcomes():
            try:
                self._record(pending.step, group)
            except Exception as error:  # another client may return something else than an outcome
                self._fail(pending.step, CLIENT_FAILED, repr(error), group.images)

    def _record(self, step: int, group: GroupOutcome) -> None:
        outcome = group.outcome
        if isinstance(outcome, ScoredGroup):
            # First check the whole group: if one result is malformed, no image of it is dropped.
            judgements = [Judgement(step, result.decision, result.reason, result) for result in outcome.results]
            for image, judgement in list(zip(group.images, judgements, strict=True)):
                self._judgements.setdefault(image, []).append(judgement)
            return
        if outcome.problem is not None:
            self.problem_codes.add(outcome.problem.code)
        detail = outcome.error if outcome.problem is None else outcome.problem.detail
        self._fail(step, outcome.reason, str(detail or outcome.reason), group.images)

    def _remove_dropped(self, remaining: BatchSubset) -> None:
        kept = tuple(image for image in remaining.images if not self._was_dropped(image))
        if kept == remaining.images:
            return
        if not kept:
            raise AllDroppedError
        self._remaining = BatchSubset(kept, remaining.total)
        # A block cache holds tensors with the rows of the former batch.
        getattr(getattr(self._pipe, self._family.denoiser), "_reset_stateful_cache", lambda: None)()

    def _was_dropped(self, image: int) -> bool:
        return any(judgement.decision == "drop" for judgement in self._judgements.get(image, ()))

    def _narrowed_decoder(self) -> AbstractContextManager[None]:
        """Inside it the VAE decodes the remaining images only."""
        vae = getattr(self._pipe, "vae", None)
        if vae is None:
            return nullcontext()
        decode = vae.decode

        def decode_remaining(latents: Tensor, *args: Any, **kwargs: Any) -> Any:
            remaining = self._remaining
            if remaining is None or len(remaining.images) == remaining.total or len(latents) != remaining.total:
                return decode(latents, *args, **kwargs)
            return remaining.scatter(decode(remaining.select_images(latents), *args, **kwargs), remaining.total)

        return patched_attribute(vae, "decode", decode_remaining)

    def _fail(self, step: int, reason: str, detail: str, images: Sequence[int] | None = None) -> None:
        """Note that images were kept without a score; None: all that remain."""
        self.failures.append(GuardFailure(step, reason, detail))
        remaining = self._remaining.images if self._remaining else ()
        for image in remaining if images is None else images:
            self._judgements.setdefault(image, []).append(Judgement(step, "keep", reason))

    def _result(self, images: Sequence[Any | None]) -> GuardResult:
        return _result(self._id, images, self._judgements, self.failures, self._run.differences if self._run else {})


def unguarded(pipe: Any, args: tuple, kwargs: Mapping[str, Any], failure: GuardFailure) -> GuardResult:
    """Run the pipeline without a guard. `failure`: why."""
    return _result(uuid.uuid4().hex, _images(pipe(*args, **kwargs)), {}, [failure], {})


def _images(output: Any) -> list[Any]:
    """The images of a pipeline's output as a list. The output may hold a list, an array or a tensor."""
    images = output[0]
    return [images[index] for index in range(len(images))]


def _result(
    run_id: str,
    images: Sequence[Any | None],
    judgements: Mapping[int, Sequence[Judgement]],
    failures: Sequence[GuardFailure],
    differences: Mapping[str, tuple[Any, Any]],
) -> GuardResult:
    """`judgements`: by image. An image without any was kept because of the failures."""
    unscored = [Judgement(failure.step, "keep", failure.reason) for failure in failures]
    samples = []
    for index, image in enumerate(images):
        sample = GuardedSample(index, sample_id(run_id, index), image, tuple(judgements.get(index, unscored)))
        samples.append(dataclasses.replace(sample, image=None) if sample.decision == "drop" else sample)
    return GuardResult(tuple(samples), tuple(failures), differences)
