"""A group's mean, variance and advantages from the samples that were kept, as estimates of those of the whole group.

All functions take `rewards` [samples], of which those of dropped samples are ignored and may be NaN, `weights` [samples] as
`keeping.weights` makes them, and `group` [samples], the prompt of each. Below, n is the size of a group, w are the weights, W is
their sum, r are the rewards, and the sums run over the kept samples.

What is exact. If the draws are independent, and the probabilities depend on nothing that is drawn with them:

- `advantages` with a given `std`: the expectation of sum(w_i A_i g_i) / n is sum((r_i - mean(r)) g_i) / (n std) over the whole
  group, its gradient, for any g_i that do not depend on the draws, such as the gradients of log-probabilities. A_i is
  W/n (r_i - sum(w r) / W) / std, thus the sum is one over pairs i != j of w_i w_j (r_i - r_j) g_i / n^2, and the expectation of
  w_i w_j is 1. Without the factor W/n the mean is a ratio of two estimates, and the sum is biased by terms of the order 1/n.
- `group_variances`: the expectation of sum(w_i w_j (r_i - r_j)^2) / (2 n^2) over pairs is the variance of the whole group.

What is consistent only, with a bias that vanishes as the groups grow:

- `group_means`, a ratio of two estimates (Hajek).
- `advantages` without `std`: they are divided by the square root of the estimated variance, of the same draws. An estimate from
  earlier steps, which those draws cannot change, keeps the gradient exact up to that common factor.
- What a clipped ratio does beyond the first update: as in the whole group, clipping is not linear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

LEAST_STD = 0.01  # of rewards of the order of 1: smaller differences than this would be noise made large


def group_means(rewards: ArrayLike, weights: ArrayLike, group: ArrayLike) -> np.ndarray:
    """The weighted mean of each sample's group, float64 [samples]; NaN for a group of which nothing was kept."""
    _, weights, at, sizes = _checked(rewards, weights, group)
    total, first, _ = _sums(rewards, weights, at, len(sizes))
    return np.divide(first, total, out=np.full(len(sizes), np.nan), where=total > 0)[at]


def group_variances(rewards: ArrayLike, weights: ArrayLike, group: ArrayLike) -> np.ndarray:
    """The variance (divided by n) of each sample's group, float64 [samples]; 0 where fewer than two samples were kept."""
    _, weights, at, sizes = _checked(rewards, weights, group)
    total, first, second = _sums(rewards, weights, at, len(sizes))
    return np.maximum((total * second - first**2) / sizes**2, 0)[at]


def advantages(
    rewards: ArrayLike, weights: ArrayLike, group: ArrayLike, std: float | None = None, least_std: float = LEAST_STD
) -> np.ndarray:
    """How much better each kept sample is than its group, in standard deviations: float64 [samples], 0 for dropped samples.

    `std`: the standard deviation to divide by; None: the estimated one of each group. Never divided by less than `least_std`, in
    units of the reward: a group without differences is no signal. The loss is sum(weights * advantages * ...) / samples, samples
    counting the dropped ones too. A group of which fewer than two samples were kept gets 0, which the exactness includes.
    Raises ValueError for a kept sample whose reward is not finite, and for numbers outside their ranges.
    """
    if not least_std > 0 or not (std is None or std >= 0):
        raise ValueError(f"std is {std} and least_std is {least_std}: expected a number from 0, and one above 0")
    rewards, weights, at, sizes = _checked(rewards, weights, group)
    total, first, _ = _sums(rewards, weights, at, len(sizes))
    spread = np.sqrt(group_variances(rewards, weights, group)) if std is None else std
    centred = (rewards * total[at] - first[at]) / sizes[at]
    return np.where(weights > 0, centred / np.maximum(spread, least_std), 0)


def effective_sample_size(weights: ArrayLike) -> float:
    """How many samples of equal weight these are worth: sum(w)^2 / sum(w^2) (Kish, Survey Sampling, 1965); 0 without any."""
    weights = np.asarray(weights, np.float64)
    squares = (weights**2).sum()
    return float(weights.sum() ** 2 / squares) if squares > 0 else 0.0


def _checked(rewards: ArrayLike, weights: ArrayLike, group: ArrayLike) -> tuple[np.ndarray, ...]:
    """Rewards with 0 for dropped samples, weights, the index of each sample's group, and the groups' sizes."""
    rewards, weights, group = np.asarray(rewards, np.float64), np.asarray(weights, np.float64), np.asarray(group)
    if not rewards.shape == weights.shape == group.shape or rewards.ndim != 1:
        shapes = ", ".join(str(list(values.shape)) for values in (rewards, weights, group))
        raise ValueError(f"rewards, weights and group are {shapes}: expected one value per sample in each")
    kept = weights > 0
    absent = np.flatnonzero(kept & ~np.isfinite(rewards))
    if len(absent):
        raise ValueError(f"the reward of the kept sample {absent[0]} is {rewards[absent[0]]}: expected a finite number")
    _, at, sizes = np.unique(group, return_inverse=True, return_counts=True)
    return np.where(kept, rewards, 0), weights, at, sizes


def _sums(rewards: ArrayLike, weights: np.ndarray, at: np.ndarray, groups: int) -> tuple[np.ndarray, ...]:
    """Per group: the sums of the weights, of weight times reward, and of weight times the reward's square."""
    rewards = np.where(weights > 0, rewards, 0)
    return tuple(np.bincount(at, weights * rewards**power, groups) for power in (0, 1, 2))
