"""How long a training will take, from the time of one step of one group."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...devices import mixed_precision
from ...grpo import KeptRows
from ..rectified_flow import Text, guided_velocity
from .rollout import Rollout, Transition
from .samples import GroupSamples
from .settings import GrpoSettings
from .training import GrpoTraining

CAPTION = "a cat left of two keys on a blue background"


@dataclass(frozen=True)
class Projection:
    """The cost of a training, on this machine as busy as it is."""

    settings: GrpoSettings
    iterations: int  # that remain
    call_seconds: float  # of one denoiser call of one sample
    update_seconds: float  # of training on one transition

    @property
    def seconds(self) -> float:
        """Of an iteration, without judgements."""
        return self.settings.sampling_calls * self.call_seconds + self.settings.training_rows * self.update_seconds

    def text(self) -> str:
        """What to show before a training begins."""
        settings = self.settings
        samples = settings.prompts * settings.group
        calls = settings.sampling_calls + settings.training_rows * (2 if settings.beta else 1)
        return (
            f"{settings.arm}: {self.iterations} iterations of {samples} samples, about {calls:,.0f} denoiser calls and "
            f"{self.seconds:.0f} seconds ({samples / self.seconds:.2f} samples per second) each: "
            f"{self.iterations * self.seconds / 3600:.1f} hours at the present speed, judgements not included"
        )


def project(training: GrpoTraining) -> Projection:
    """Time a denoiser call and an update of one group. Changes no weight and counts no call."""
    settings, model = training.settings, training.loop.model
    ids = training.source.token_ids([CAPTION]).expand(settings.group, -1)
    size = model.config.image_size
    latents = torch.randn(settings.group, 3, size, size, generator=torch.Generator().manual_seed(0))

    def call() -> None:
        with torch.no_grad(), mixed_precision():
            guided_velocity(model, latents, 0.5, Text.of(model, ids), settings.guidance)

    transition = Transition(settings.window_last, latents, latents, torch.zeros(settings.group))
    rollout = Rollout(KeptRows.all(settings.group), (transition,), latents, 0)
    group = GroupSamples(ids, rollout, np.linspace(0, 1, settings.group))

    def update() -> None:
        before = dict(training.tally)
        training.update.loss([group], 1.0).backward()
        training.loop.optimizer.zero_grad(set_to_none=True)
        training.tally.update(before)
        training.update.divergences.clear()

    call()  # warms up
    iterations = settings.iterations - training.loop.first // settings.updates
    return Projection(settings, iterations, _seconds(call) / settings.group, _seconds(update) / settings.group)


def _seconds(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
