"""Draws the samples of a batch with noise in a window of steps, and stops some of them after the decision step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...grpo import KeptRows
from ..backbone import TIMESTEPS, Backbone, text_mask_of, unconditional_ids
from ..rectified_flow import StepOutput, noise_levels
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


@dataclass(frozen=True)
class Text:
    """Captions as the denoiser reads them: those of the samples, then as many empty ones."""

    states: Tensor  # [2 * batch, tokens, text_width]
    mask: Tensor  # uint8 [2 * batch, tokens]

    @classmethod
    def of(cls, backbone: Backbone, ids: Tensor) -> Text:
        """`ids`: padded, [batch, tokens]."""
        both = torch.cat([ids, unconditional_ids(*ids.shape)])
        mask = text_mask_of(both)
        return cls(backbone.text_encoder(both, mask), mask)

    def rows(self, rows: Tensor) -> Text:
        """Those of some samples, given by their indices."""
        both = torch.cat([rows, rows + len(self.mask) // 2])
        return Text(self.states[both], self.mask[both])


def guided_velocity(
    backbone: Backbone, latents: Tensor, sigma: float, text: Text, guidance: float
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The velocity with guidance, float32; the difference that guidance makes; and the conditional half's maps."""
    batch = len(latents)
    timestep = torch.full((2 * batch,), sigma * TIMESTEPS)
    velocity, maps = backbone.denoiser(torch.cat([latents, latents]), timestep, text.states, text.mask)
    conditional, unconditional = velocity.float().chunk(2)
    difference = conditional - unconditional
    return unconditional + guidance * difference, difference, [layer[:batch] for layer in maps]


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
            preview = (x - sigma * velocity).clamp(-1, 1)
            kept = decision[1](StepOutput(step, sigma, maps, preview, difference.square().mean(dim=(1, 2, 3))))
            rows = torch.from_numpy(kept.rows)
            after, text = after[rows], text.rows(rows)
            transitions = [Transition(t.step, t.before[rows], t.after[rows], t.log_probability[rows]) for t in transitions]
        x = after
    return Rollout(kept, tuple(transitions), x.clamp(-1, 1), calls)
