"""The predicted quality below which rewriting a prompt pays, from the calibration. Needs NumPy alone.

Gain of rewriting a prompt whose image i has the score s(i) at step k, with m rewrites: the expected quality of the image with the
highest score among i and m further ones, less the quality of i. The further ones are other seeds of the same prompt in the
calibration: a rewrite is assumed to be worth as much as another seed.
Cost: c(i) = m k + r + k w(i) denoiser calls. r is the price of the rewriter's answer in denoiser calls. w(i) is the chance that i
has the highest score; its first k steps are then drawn again.
Value of a call: v = (expected best of two images - expected image) / steps of an image, what a call buys by drawing more images.
tau is the t that maximises the sum of gain(i) - v c(i) over all images i with s(i) < t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..evaluation.figures import best_of_drawn
from ..planning.runs import Runs

NEVER, ALWAYS = -math.inf, math.inf


@dataclass(frozen=True)
class Threshold:
    """The score below which a prompt is rewritten, and what that is expected to bring."""

    tau: float  # NEVER: rewriting does not pay; ALWAYS: it pays whatever the score
    share: float  # of the images, 0 to 1, whose score is below
    gain: float  # of quality by a rewriting below tau, mean; nan if there is none
    calls: float  # that a rewriting below tau costs, mean; nan if there is none
    value_of_call: float  # quality that a denoiser call buys by drawing more images


def calibrated_threshold(runs: Runs, step: int, candidates: int, rewriter_calls: float = 0.0) -> Threshold:
    """The threshold for scores at `step`. Raises ValueError for a step without scores, and for one seed per prompt."""
    if runs.seeds < 2:
        raise ValueError("the trajectories have one seed per prompt: the gain of another image cannot be known")
    scores = scores_at(runs, step)
    gains, kept = rewriting_gains(scores, runs.quality, candidates)
    costs = candidates * step + rewriter_calls + step * kept
    value = float((best_of_drawn(runs.quality, 2) - runs.quality.mean(axis=1)).mean()) / runs.total_steps
    order = np.argsort(scores, axis=None, kind="stable")
    ascending, gains, costs = scores.ravel()[order], gains.ravel()[order], costs.ravel()[order]
    # Entry j: the sum over the j lowest scores. A threshold lies between two different scores.
    net = np.concatenate([[0.0], np.cumsum(gains - value * costs)])
    net[1:-1][ascending[1:] == ascending[:-1]] = -np.inf
    below = int(np.argmax(net))
    if below == 0:
        return Threshold(NEVER, 0.0, math.nan, math.nan, value)
    tau = ALWAYS if below == len(ascending) else float(ascending[below - 1] + ascending[below]) / 2
    return Threshold(tau, below / len(ascending), float(gains[:below].mean()), float(costs[:below].mean()), value)


def lowest_share(runs: Runs, step: int, share: float) -> float:
    """The score at `step` below which that share of the calibration's images is, from 0 to 1."""
    return float(np.quantile(scores_at(runs, step), share))


def scores_at(runs: Runs, step: int) -> np.ndarray:
    """[prompts, seeds]. Raises ValueError for a step without scores."""
    if step not in runs.points:
        raise ValueError(f"the trajectories have no scores at step {step}: expected one of {list(runs.points)}")
    return runs.scores[:, :, runs.points.index(step)]


def rewriting_gains(scores: np.ndarray, quality: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays [prompts, seeds]: the gain of each image, and the chance that it has the highest score itself.

    Exact over all choices of `candidates` other seeds, at most all. Of equal scores the image itself is kept.
    """
    prompts, seeds = scores.shape
    drawn = min(candidates, seeds - 1)
    # The chance that the other with `above` better ones is the best of the drawn ones.
    chances = np.array([math.comb(seeds - 2 - above, drawn - 1) for above in range(seeds - 1)]) / math.comb(seeds - 1, drawn)
    rows = np.arange(prompts)[:, None]
    gains, kept = np.empty((2, prompts, seeds))
    for own in range(seeds):
        others = np.delete(np.arange(seeds), own)
        order = others[np.argsort(-scores[:, others], axis=1, kind="stable")]
        is_better = scores[rows, order] > scores[:, own, None]
        gains[:, own] = np.where(is_better, quality[rows, order] - quality[:, own, None], 0.0) @ chances
        kept[:, own] = 1 - is_better @ chances
    return gains, kept
