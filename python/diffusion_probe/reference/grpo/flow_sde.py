"""Steps of a rectified flow with noise, their log-probabilities, and the divergence of two policies.

From Flow-GRPO (Liu et al., arXiv 2505.05470, equations 9 to 12), as in `sde_step_with_logprob` of github.com/yifan123/flow_grpo.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class NormalStep(NamedTuple):
    """The normal distribution of the latents after a step."""

    mean: Tensor  # [batch, ...]
    std: float  # of every element


def normal_step(latents: Tensor, velocity: Tensor, sigmas: Tensor, step: int, noise: float) -> NormalStep:
    """The distribution of the latents after `step`, from 1, for the sampler's noise levels `sigmas` [steps + 1].

    `velocity` is that of a rectified flow, noise minus image, at the level sigmas[step - 1]. `noise`: how much noise the step
    adds, from 0; at 0 it is the Euler step. With s the level, d its change (negative) and e = noise * sqrt(s / (1 - s)), the mean
    is x + (v + e^2 / (2 s) (x + (1 - s) v)) d and the standard deviation e sqrt(-d). At s = 1, e takes the next step's level.
    """
    level, following = float(sigmas[step - 1]), float(sigmas[step])
    change = following - level
    bounded = float(sigmas[1]) if level == 1 else level
    diffusion = noise * math.sqrt(bounded / (1 - bounded))
    drift = velocity + diffusion**2 / (2 * level) * (latents + (1 - level) * velocity)
    return NormalStep(latents + change * drift, diffusion * math.sqrt(-change))


def log_probability(latents: Tensor, step: NormalStep) -> Tensor:
    """The log-density of latents after a step, the mean over their elements: [batch].

    Flow-GRPO takes the mean and not the sum; the range of its clipping is meant for that.
    """
    scaled = (latents - step.mean) / step.std
    each = -0.5 * scaled.square() - math.log(step.std) - 0.5 * math.log(2 * math.pi)
    return each.flatten(1).mean(dim=1)


def divergence(step: NormalStep, start: NormalStep) -> Tensor:
    """The Kullback-Leibler divergence of a step from the same step of another policy, the mean over the elements: [batch].

    That of two normal distributions with one standard deviation, as in the paper. The code of flow_grpo divides by e^2 where this
    divides by e^2 |d|, so a coefficient for it must be multiplied by |d| to have the same effect here.
    """
    return ((step.mean - start.mean) / step.std).square().flatten(1).mean(dim=1) / 2


def clipped_objective(log_now: Tensor, log_then: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped surrogate of proximal policy optimization (Schulman et al., arXiv 1707.06347), to be minimised: [batch].

    `log_then`: of the policy that drew the samples. `advantages` may carry the weights of the samples: they are above 0, so they
    do not change which of the two terms is the larger one.
    """
    ratio = torch.exp(log_now - log_then)
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))
