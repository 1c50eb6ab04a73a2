"""Draws the samples of a batch with noise in a window of steps, and stops some of them after the decision step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...grpo import KeptRows
from ..backbone import Backbone
from ..rectified_flow import StepOutput, Text, guided_velocity, noise_levels, step_output
from .flow_sde import log_probability, normal_step

Decide = Callable[[StepOutput], KeptRows]


@dataclass(frozen=True)
class Sampler:
    """How samples are drawn."""

    steps: int
    guidance: float
    noise: float  # of the steps in the window; the others are Euler steps


@dataclass(frozen=True)
class Transition:
    """One step of the window, for the kept samples."""

    step: int  # from 1
    before: Tensor  # [kept, 3, size, size]
    after: Tensor
    log_probability: Tensor  # [kept], of the policy that drew it


@dataclass(frozen=True)
class Rollout:
    """The samples of a batch."""

    kept: KeptRows
    transitions: tuple[Transition, ...]
    images: Tensor  # of the kept samples, [kept, 3, size, size] in [-1, 1]
    calls: int  # of the denoiser: one per sample and step, guidance included


@torch.no_grad()
def roll_out(
    backbone: Backbone,
    ids: Tensor,
    latents: Tensor,
    sampler: Sampler,
    window: range,
    noise: Callable[[int], Tensor],
    decision: tuple[int, Decide] | None = None,
    start: KeptRows | None = None,
) -> Rollout:
    """Denoise `latents` [batch, 3, size, size] for the padded captions `ids` [batch, tokens].

    `window`: the steps with noise, from 1. `noise`: standard normal noise of a step for the whole batch, so that dropping some
    samples does not change the others. `decision`: a step, from 1, and what chooses the rows that go on after the denoiser's call
    at that step. `start`: the rows to begin with, by default all.
    """
    sigmas = noise_levels(sampler.steps)
    kept = start or KeptRows.all(len(ids))
    rows = torch.from_numpy(kept.rows)
    text = Text.of(backbone, ids).rows(rows)
    x, calls = latents[rows], 0
    transitions: list[Transition] = []
    for step in range(1, sampler.steps + 1):
        if not len(rows):
            break
        sigma = float(sigmas[step - 1])
        velocity, difference, maps = guided_velocity(backbone, x, sigma, text, sampler.guidance)
        calls += len(rows)
        level = sampler.noise if step in window else 0.0
        distribution = normal_step(x, velocity, sigmas, step, level)
        after = distribution.mean
        if level:
            after = after + distribution.std * noise(step)[rows]
            transitions.append(Transition(step, x, after, log_probability(after, distribution)))
        if decision is not None and step == decision[0]:
            kept = decision[1](step_output(step, sigma, x, velocity, difference, maps))
            rows = torch.from_numpy(kept.rows)
            after, text = after[rows], text.rows(rows)
            transitions = [Transition(t.step, t.before[rows], t.after[rows], t.log_probability[rows]) for t in transitions]
        x = after
    return Rollout(kept, tuple(transitions), x.clamp(-1, 1), calls)
