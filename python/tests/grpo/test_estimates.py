"""Means, variances, advantages and gradients of a group from a part of it, against those of the whole."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.grpo import (
    KeepRule,
    KeptRows,
    advantages,
    allocate,
    draw,
    effective_sample_size,
    group_means,
    group_variances,
    weights,
)

DRAWS, GROUP = 2000, 16
SLOPE = np.array([1.0, -0.5, 0.25])  # of the reward in the small world
REWARDS = st.lists(st.floats(-2, 2), min_size=2, max_size=12)


@given(REWARDS, st.integers(1, 3))
def test_of_a_whole_group_they_are_the_usual_ones(rewards, groups) -> None:
    rewards, group = np.array(rewards), np.arange(len(rewards)) % groups
    ones = np.ones(len(rewards))
    for name in np.unique(group):
        own = group == name
        assert group_means(rewards, ones, group)[own] == pytest.approx(rewards[own].mean())
        assert group_variances(rewards, ones, group)[own] == pytest.approx(rewards[own].var(), abs=1e-12)
        expected = (rewards[own] - rewards[own].mean()) / max(rewards[own].std(), 0.01)
        assert advantages(rewards, ones, group)[own] == pytest.approx(expected, abs=1e-5)


@given(REWARDS, st.floats(-50, 50), st.integers(0, 99))
def test_what_dropped_samples_hold_and_what_is_added_to_all_rewards_do_not_matter(rewards, shift, seed) -> None:
    rewards, group = np.array(rewards), np.zeros(len(rewards))
    probabilities = allocate(rewards, group, 0.2)
    kept = weights(probabilities, draw(probabilities, seed))
    unknown = np.where(kept > 0, rewards + shift, np.nan)
    found = advantages(unknown, kept, group, std=0.5)
    assert found == pytest.approx(advantages(rewards, kept, group, std=0.5), abs=1e-9)
    assert (found[kept == 0] == 0).all()
    assert (found == 0).all() or (kept > 0).sum() > 1, "one sample alone has no group to compare with"


def test_over_all_draws_the_variance_is_exactly_that_of_the_group_and_the_gradient_nearly() -> None:
    """No sampling: the expectation is a sum over the 64 possible draws of a group of six."""
    rng = np.random.default_rng(3)
    rewards, gradients, group = rng.random(6), rng.normal(size=(6, 3)), np.zeros(6)
    probabilities = allocate(rng.random(6), group, 0.4, "tails", 0.7)
    gradient, variance, with_itself = np.zeros(3), 0.0, np.zeros(3)
    for drawn in product([False, True], repeat=6):
        kept = weights(probabilities, np.flatnonzero(drawn))
        chance = np.where(drawn, probabilities, 1 - probabilities).prod()
        gradient += chance * (kept * advantages(rewards, kept, group, std=0.3)) @ gradients / 6
        variance += chance * group_variances(rewards, kept, group)[0]
        if any(drawn):
            with_itself += chance * (kept * (rewards - group_means(rewards, kept, group))) @ gradients / 6 / 0.3
    whole = (rewards - rewards.mean()) @ gradients / 6 / 0.3
    assert variance == pytest.approx(rewards.var(), abs=1e-12)
    off = np.abs(gradient - whole).max()
    assert off < 0.06
    assert np.abs(with_itself - whole).max() > 2 * off, (
        "a baseline that holds the sample itself is biased by terms of the order 1/n"
    )


def drawn_group(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A group of the small world: rewards, the gradients of the log-probabilities, and a probe's scores.

    The policy is a normal distribution with the mean theta = 0 and the identity as covariance. The gradient of log p(x) at theta
    is x, and the reward is SLOPE @ x plus noise, so the expected gradient of the reward is SLOPE.
    """
    actions = rng.normal(size=(GROUP, 3))
    rewards = actions @ SLOPE + 0.5 * rng.normal(size=GROUP)
    return rewards, actions, rewards + rng.normal(size=GROUP)


def test_the_weighted_gradient_has_the_expectation_of_the_whole_group_and_the_better_half_has_not() -> None:
    rng, group = np.random.default_rng(0), np.zeros(GROUP)
    rule = KeepRule(floor=0.2, share=0.5)
    whole, weighted, better = [], [], []
    for seed in range(DRAWS):
        rewards, gradients, scores = drawn_group(rng)
        kept = rule.decide(scores, group, seed)
        whole.append(advantages(rewards, np.ones(GROUP), group, std=1.0) @ gradients / GROUP)
        weighted.append(kept.weighted_advantages(rewards[kept.rows], group, std=1.0) @ gradients / GROUP)
        best = np.argsort(-scores)[: GROUP // 2]
        better.append(advantages(rewards[best], np.ones(len(best)), group[best], std=1.0) @ gradients[best] / len(best))
    known = SLOPE * (1 - 1 / GROUP)  # the mean of the group itself takes one part in GROUP
    error = np.std(weighted, axis=0) / DRAWS**0.5
    assert np.abs(np.mean(whole, axis=0) - known).max() < 3 * (np.std(whole, axis=0) / DRAWS**0.5).max()
    assert (np.abs(np.mean(weighted, axis=0) - known) < 3 * error).all()
    paired = np.subtract(weighted, whole)
    assert (np.abs(paired.mean(axis=0)) < 3 * paired.std(axis=0) / DRAWS**0.5).all()
    off = np.subtract(better, whole)
    assert np.abs(off.mean(axis=0) / (off.std(axis=0) / DRAWS**0.5)).max() > 10


def test_a_group_without_differences_gives_no_signal() -> None:
    rewards = np.array([0.5, 0.5001, 0.4999, 0.5])
    assert np.abs(advantages(rewards, np.ones(4), np.zeros(4))).max() < 0.02
    assert np.abs(advantages(rewards, np.ones(4), np.zeros(4), least_std=1e-9)).max() > 1


def test_the_effective_sample_size() -> None:
    assert effective_sample_size([2.0, 2.0, 0.0, 0.0]) == 2
    assert effective_sample_size([1, 4, 0]) == pytest.approx(25 / 17)
    assert effective_sample_size([0.0]) == 0


def test_rewards_of_kept_rows_find_their_places() -> None:
    kept = KeptRows(np.array([0, 2]), np.array([0.5, 0.4, 0.25]), np.zeros(3))
    assert list(kept.weights) == [2, 0, 4]
    assert kept.scattered([7, 8]) == pytest.approx([7, np.nan, 8], nan_ok=True)
    with pytest.raises(ValueError, match="for 2 kept rows"):
        kept.scattered([1, 2, 3])
    with pytest.raises(ValueError, match="the reward of the kept sample 2 is nan"):
        kept.weighted_advantages([1, np.nan], np.zeros(3))
