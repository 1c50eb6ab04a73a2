"""The calls of a pipeline's denoiser, and which of them are steps of its sampling loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..families.family import Family
from ..families.layout import Arguments

SKIP_LAYERS = "skip_layers"  # SD3's skip-layer guidance makes one more conditional call per step, with this argument


@dataclass(frozen=True)
class DenoiserCall:
    """One call of the denoiser."""

    denoiser: Callable[..., Any]
    arguments: Arguments
    positional: int  # how many of them were given by position: they stay so, since other hooks may expect that
    step: int | None = None  # the step whose attention is read in it
    images: tuple[int, ...] | None = None  # the images that it is for; None: all

    def evaluate(self) -> Any:
        """The denoiser's output."""
        named = dict(self.arguments)
        positional = [named.pop(name) for name in list(named)[: self.positional]]
        return self.denoiser(*positional, **named)


class StepCounter:
    """Counts the steps of one run by the calls of its denoiser.

    A pipeline calls its denoiser once per step, or twice where its guidance makes one call with the prompt and one without it.
    Both get the same tensor of latents, and the call with the prompt is the first.
    """

    def __init__(self, family: Family, scheduler: Any, last: int):
        """`last`: the last step that must be counted exactly. Reading a timestep waits for the device."""
        self.step = 0  # of the run, from 1
        self._family = family
        self._scheduler = scheduler
        self._last = last
        self._latents: Any = None  # of the last step
        self._first = 0  # the index of the first step among the scheduler's timesteps

    @property
    def timesteps(self) -> Tensor:
        """The scheduler's timesteps at the steps of this run: a run from an image skips some."""
        return self._scheduler.timesteps[self._first :]

    def begins_step(self, arguments: Arguments) -> bool:
        """Whether a call is the next step's call with the prompt. Then it counts."""
        latents = arguments[self._family.sample]
        if latents is self._latents or arguments.get(SKIP_LAYERS) is not None or not self._has_next_timestep(arguments):
            return False
        self.step += 1
        self._latents = latents
        return True

    def _has_next_timestep(self, arguments: Arguments) -> bool:
        """A callback of the user that evaluates the latents again has the timestep of the step before."""
        if arguments.get(self._family.timestep) is None:
            return True
        given = torch.as_tensor(arguments[self._family.timestep]).flatten()[0]
        if self.step == 0:
            self._first = self._first_index(given)
        timesteps = self.timesteps
        if self.step >= min(len(timesteps), self._last):
            return True
        # As the pipeline passes them: 16 bits cannot hold all of them apart.
        own, before = (self._family.passed_timestep(timesteps[max(0, i)].to(given)) for i in (self.step, self.step - 1))
        return bool((given - own).abs() <= (given - before).abs())

    def _first_index(self, given: Tensor) -> int:
        begin = getattr(self._scheduler, "begin_index", None)
        if begin is not None:
            return begin
        return int((self._family.passed_timestep(self._scheduler.timesteps.to(given)) - given).abs().argmin())
