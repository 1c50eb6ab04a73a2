"""A group's mean, variance and advantages from the samples that were kept, as estimates of those of the whole group.

All functions take `rewards` [samples], of which those of dropped samples are ignored and may be NaN, `weights` [samples] as
`keeping.weights` makes them, and `group` [samples], the prompt of each. Below, n is the size of a group, w are the weights, r are
the rewards, and g_i is the gradient of the log-probability of sample i.

What is exact, given independent draws:

- `group_variances`: the expectation of sum(w_i w_j (r_i - r_j)^2) / (2 n^2) over pairs is the variance of the whole group, since
  the expectation of w_i w_j is 1 for a pair.
- `advantages` with a given `std`, if the probabilities of the other samples of a group do not depend on sample i: then the
  expectation of sum(w_i A_i g_i) / n over draws and samples is that of sum((r_i - mean(r)) g_i) / (n std) over the whole group.
  A_i is (n - 1) / n (r_i - b_i) / std, with the weighted mean b_i of the *other* kept samples. The expectation of w_i is 1, b_i
  does not depend on whether i is kept, and a baseline that does not depend on a sample adds nothing to the expectation of its
  g_i. For probabilities by rank, as `allocate` gives them, one sample moves those of the others by one rank: exact up to that.

What is consistent only, with a bias that vanishes as the groups grow:

- `group_means` and the baselines b_i as estimates of the mean: ratios of two estimates (Hajek).
- `advantages` without `std`: they are divided by the square root of the variance of the same draws. An estimate from earlier
  steps, which these draws cannot change, keeps the gradient exact up to that common factor.
- A sample that is kept alone in its group has no baseline and gets the advantage 0.
- What a clipped ratio does beyond the first update: as in the whole group, clipping is not linear.

Why not A_i = W/n (r_i - b), with the sum W of the weights and the weighted mean b of all kept samples: it is exact for any
probabilities, but its variance is larger; docs/adr/0050-flow-grpo-with-an-early-signal.md has the figures.
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
    """How much better each kept sample is than the others of its group, in standard deviations: float64 [samples], 0 if dropped.

    `std`: the standard deviation to divide by; None: the estimated one of each group. Never divided by less than `least_std`, in
    units of the reward: a group without differences is no signal. The loss is sum(weights * advantages * ...) / samples, samples
    counting the dropped ones too. A group of which fewer than two samples were kept gets 0. Raises ValueError for a kept sample
    whose reward is not finite, and for numbers outside their ranges.
    """
    if not least_std > 0 or not (std is None or std >= 0):
        raise ValueError(f"std is {std} and least_std is {least_std}: expected a number from 0, and one above 0")
    rewards, weights, at, sizes = _checked(rewards, weights, group)
    total, first, _ = _sums(rewards, weights, at, len(sizes))
    spread = np.sqrt(group_variances(rewards, weights, group)) if std is None else std
    counts = np.bincount(at, weights > 0, len(sizes))[at]
    others = (weights > 0) & (counts > 1)
    rest, weight = (first[at] - weights * rewards)[others], (total[at] - weights)[others]
    centred = np.zeros(len(rewards))
    centred[others] = (1 - 1 / sizes[at][others]) * (rewards[others] - rest / weight)
    return centred / np.maximum(spread, least_std)


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
