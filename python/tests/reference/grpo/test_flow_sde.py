"""Steps of a rectified flow with noise, on a world of numbers whose velocity is known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from diffusion_probe.reference.grpo.flow_sde import clipped_objective, divergence, log_probability, normal_step
from diffusion_probe.reference.rectified_flow import noise_levels

MEAN, STD = 0.7, 0.4  # of the images of the world: single numbers


def velocity(x: Tensor, level: float) -> Tensor:
    """Expectation of noise minus image, given x = (1 - level) image + level noise, both normal."""
    variance = (1 - level) ** 2 * STD**2 + level**2
    away = x - (1 - level) * MEAN
    return (level * away - (1 - level) * STD**2 * away) / variance - MEAN


@pytest.mark.parametrize("noise", [0.0, 0.4, 0.7])
def test_noise_does_not_change_the_distribution_of_the_images(noise: float) -> None:
    steps, generator = 200, torch.Generator().manual_seed(0)
    sigmas = noise_levels(steps)
    x = torch.randn(40_000, 1, generator=generator)
    for step in range(1, steps):
        distribution = normal_step(x, velocity(x, float(sigmas[step - 1])), sigmas, step, noise)
        x = distribution.mean + distribution.std * torch.randn(x.shape, generator=generator)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, abs=0.02)


def test_without_noise_it_is_the_euler_step() -> None:
    sigmas, x, v = noise_levels(10), torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    for step in (1, 5, 10):
        distribution = normal_step(x, v, sigmas, step, 0.0)
        assert torch.allclose(distribution.mean, x + (sigmas[step] - sigmas[step - 1]) * v)
        assert distribution.std == 0


@given(st.integers(1, 9), st.floats(0.1, 1.2), st.integers(0, 99))
def test_log_probability_and_divergence_are_those_of_normal_distributions(step: int, noise: float, seed: int) -> None:
    sigmas, generator = noise_levels(10), torch.Generator().manual_seed(seed)
    x, v, other = (torch.randn(2, 3, 2, 2, generator=generator) for _ in range(3))
    own, start = (normal_step(x, velocity, sigmas, step, noise) for velocity in (v, other))
    level, change = float(sigmas[step - 1]), float(sigmas[step - 1] - sigmas[step])
    level = level if level < 1 else float(sigmas[1])
    assert own.std == pytest.approx(noise * math.sqrt(level / (1 - level) * change), rel=1e-5)
    normal = Normal(own.mean, own.std)
    assert torch.allclose(log_probability(x, own), normal.log_prob(x).mean(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)
    expected = kl_divergence(normal, Normal(start.mean, start.std)).mean(dim=(1, 2, 3))
    assert torch.allclose(divergence(own, start), expected, rtol=1e-4, atol=1e-6)


def test_a_ratio_beyond_the_range_has_no_gradient_where_it_would_gain_more() -> None:
    now = torch.tensor([0.1, 0.1, -0.1, -0.1, 0.0], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 3.0])
    clipped_objective(now, torch.zeros(5), advantages, 0.05).sum().backward()
    assert (now.grad == 0).tolist() == [True, False, False, True, False]
    assert now.grad[4] == -3
