"""Which samples of a group live on: each is kept with a known probability, independently of the others.

A kept sample weighs one over its probability (Horvitz and Thompson, A Generalization of Sampling Without Replacement From a
Finite Universe, JASA 1952). The draws are independent (Poisson sampling), so a pair is kept with the product of two
probabilities, which `estimates` needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

Shape = Literal["tails", "top", "uniform"]


def allocate(scores: ArrayLike, group: ArrayLike, floor: float, shape: Shape = "tails", share: float = 0.5) -> np.ndarray:
    """The probability with which each sample is kept, float64 [samples] in [floor, 1].

    `scores` [samples]: predicted qualities; only their order within a group counts. `group` [samples]: the prompt of each
    sample, as numbers or texts. `share`: how many samples of a group are kept on average, in [floor, 1].

    `tails`: the probability grows with the distance from the group's median rank, `top`: with the rank, `uniform`: it is `share`
    for all. Ties share their mean rank. A sample whose score is not finite is kept for certain, and the others of its group are
    shared out without it: a probe that cannot answer costs no image.

    With a score that has the correlation rho to the reward, the variance of the weighted gradient is least for probabilities
    proportional to sqrt(rho^2 z^2 + 1 - rho^2), z being the score in standard deviations from the group's mean: so a weak probe
    needs a floor near `share`. Raises ValueError for numbers outside their ranges.
    """
    scores, group = np.asarray(scores, np.float64), np.asarray(group)
    if scores.ndim != 1 or group.shape != scores.shape:
        raise ValueError(f"group is {list(group.shape)} and scores are {list(scores.shape)}: expected one value per sample")
    if shape not in get_args(Shape):
        raise ValueError(f"shape is {shape!r}: expected one of {', '.join(get_args(Shape))}")
    if not 0 < floor <= share <= 1:
        raise ValueError(f"floor is {floor} and share is {share}: expected 0 < floor <= share <= 1")
    probabilities = np.ones(len(scores))
    scored = np.isfinite(scores)
    for name in np.unique(group[scored]):
        rows = np.flatnonzero(scored & (group == name))
        probabilities[rows] = _shared_out(_heights(scores[rows], shape), floor, share)
    return probabilities


def draw(probabilities: ArrayLike, seed: int | Sequence[int]) -> np.ndarray:
    """The ids of the kept samples, int64 ascending: each is kept with its own probability, independently of the others.

    The same seed and number of samples give the same draws, so a higher probability never loses a sample. Raises ValueError for a
    value that is no probability above 0.
    """
    probabilities = _checked(probabilities)
    return np.flatnonzero(np.random.default_rng(seed).random(len(probabilities)) < probabilities)


def weights(probabilities: ArrayLike, kept: ArrayLike) -> np.ndarray:
    """One over the probability for the kept ids, 0 for the others: float64 [samples]. Their expectation is 1 for every sample."""
    probabilities, kept = _checked(probabilities), np.asarray(kept, np.int64)
    result = np.zeros(len(probabilities))
    result[kept] = 1 / probabilities[kept]
    return result


def _checked(probabilities: ArrayLike) -> np.ndarray:
    values = np.asarray(probabilities, np.float64)
    wrong = np.flatnonzero(~((values > 0) & (values <= 1)))
    if len(wrong):
        raise ValueError(f"the probability of sample {wrong[0]} is {values[wrong[0]]}: expected a number above 0, up to 1")
    return values


def _heights(scores: np.ndarray, shape: Shape) -> np.ndarray:
    """How much each sample gets above the floor, relative to the others: [samples] in [0, 1]."""
    below, upto = (np.searchsorted(np.sort(scores), scores, side) for side in ("left", "right"))
    rank = (below + upto) / (2 * len(scores))  # in (0, 1)
    return {"tails": np.abs(2 * rank - 1), "top": rank, "uniform": np.zeros(len(scores))}[shape]


def _shared_out(heights: np.ndarray, floor: float, share: float) -> np.ndarray:
    """Probabilities with the mean `share` that rise from the floor in proportion to the heights, cut off at 1."""
    probabilities = np.full(len(heights), floor)
    free = np.ones(len(heights), bool)
    while True:
        rest = (share - floor) * len(heights) - (1 - floor) * (~free).sum()
        total = heights[free].sum()
        # Without any height all that are free get the same.
        rise = heights[free] * (rest / total) if total > 0 else np.full(free.sum(), rest / max(1, free.sum()))
        probabilities[free] = floor + rise
        above = probabilities > 1
        if not above.any():
            return np.minimum(probabilities, 1)
        probabilities[above] = 1
        free &= ~above
