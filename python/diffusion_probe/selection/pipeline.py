"""A pipeline of diffusers as the backend of a selection."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..families import family_of
from ..guard import ProbeGuard
from ..pipelines.arguments import image_per_prompt, require_free
from .backend import Drawn, DrawnSample, Questions
from .timed_client import TimedClient

STEPS = 25


class PipelineBackend:
    """Draws all samples of a group in one call of the pipeline, guarded where there is a question."""

    metric = None

    def __init__(self, pipe: Any, name: str | None = None, steps: int = STEPS, call: Mapping[str, Any] | None = None):
        """`steps`: denoising steps. `call`: further arguments of the pipeline. Raises ValueError for those that are set here."""
        require_free(call or {}, "the selection")
        self.name = name or type(pipe).__name__
        self._pipe = pipe
        self._steps = steps
        self._call = dict(call or {})
        self._guarded: tuple[Questions, TimedClient, ProbeGuard] | None = None

    @property
    def family(self) -> str:
        return family_of(self._pipe).name

    def check(self, prompt: str) -> None:
        """A pipeline draws every prompt."""

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], questions: Questions | None) -> Drawn:
        arguments = image_per_prompt(self._call, prompts, seeds, self._steps)
        if len(set(prompts)) == 1:  # encoded once
            repeated = {"prompt": prompts[0], "num_images_per_prompt": len(seeds)}
            arguments = {**arguments, **self._call, **repeated}
        started = time.monotonic()
        if questions is None:
            samples = tuple(DrawnSample(image) for image in self._pipe(**arguments)[0])
            return Drawn(samples, self._total_steps, time.monotonic() - started)
        client, guard = self._guard(questions)
        client.begin()
        result = guard(**arguments)
        seconds = time.monotonic() - started
        samples = tuple(DrawnSample(sample.image, sample.judgements) for sample in result.samples)
        total_steps, failures = self._total_steps, result.failures
        return Drawn(samples, total_steps, seconds, failures, client.answered, client.seconds, result.differences)

    @property
    def _total_steps(self) -> int:
        """Of the last run; with some schedulers not the number that was asked for."""
        return len(self._pipe.scheduler.timesteps)

    def _guard(self, questions: Questions) -> tuple[TimedClient, ProbeGuard]:
        """A guard is kept as long as the questions are the same, since it logs each difference of a run once."""
        if self._guarded is None or self._guarded[0] is not questions:
            client = TimedClient(questions.client)
            guard = ProbeGuard(
                self._pipe,
                client,
                model=questions.model,
                policy=questions.policy,
                deadline_ms=questions.deadline_ms,
                probe=questions.probe.manifest,
                one_group=True,
            )
            self._guarded = questions, client, guard
        return self._guarded[1:]
