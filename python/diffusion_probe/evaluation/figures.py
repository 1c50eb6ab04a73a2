"""Figures of a probe that need NumPy alone. Scores and quality are float arrays [prompts, seeds]."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

TIE = 0.01  # share of the metric's range: a smaller difference of quality between two images is a tie
UNIT_RANGE = (0.0, 1.0)


def pairwise_accuracy(scores: np.ndarray, quality: np.ndarray, metric_range: tuple[float, float] = UNIT_RANGE) -> np.ndarray:
    """[prompts]: share of pairs of differing quality that the scores put in the right order; a tied score counts half."""
    low, high = metric_range
    apart = quality[:, :, None] - quality[:, None, :]
    guessed = np.sign(scores[:, :, None] - scores[:, None, :])
    pairs = apart > TIE * (high - low)
    right = (guessed > 0) + 0.5 * (guessed == 0)
    counts = pairs.sum(axis=(1, 2))
    return np.divide((right * pairs).sum(axis=(1, 2)), counts, out=np.full(len(scores), np.nan), where=counts > 0)


def selection(scores: np.ndarray, quality: np.ndarray, candidates: int | None = None) -> np.ndarray:
    """[prompts, 3]: the mean quality of a random candidate, of the one with the highest score, and of the best one.

    With fewer candidates than seeds, the seeds are cut into groups of `candidates`, and the groups are averaged.
    """
    size = candidates or scores.shape[1]
    groups = scores.shape[1] // size
    s = scores[:, : groups * size].reshape(len(scores), groups, size)
    q = quality[:, : groups * size].reshape(len(scores), groups, size)
    top = s == s.max(axis=2, keepdims=True)
    chosen = (q * top).sum(axis=2) / top.sum(axis=2)
    return np.stack([q.mean(axis=(1, 2)), chosen.mean(axis=1), q.max(axis=2).mean(axis=1)], axis=1)


def gap_share(selected: np.ndarray) -> float:
    """Share of the oracle gap closed: (chosen - random) / (best - random), means over [prompts, 3]; nan without a gap."""
    random, chosen, best = selected.mean(axis=0)
    return float((chosen - random) / (best - random)) if best > random else float("nan")


def gap_closed(scores: np.ndarray, quality: np.ndarray, candidates: int | None = None) -> float:
    """Share of the oracle gap that choosing the highest score of `candidates` closes; by default of all seeds."""
    return gap_share(selection(scores, quality, candidates))


def best_of(quality: np.ndarray, candidates: int, finished: float) -> float:
    """Share of the oracle gap of `candidates` seeds closed by finishing `finished` of them and keeping the best.

    `finished` is between 1 and `candidates`; between two whole numbers the gain is interpolated.
    """
    seeds = quality.shape[1]
    groups = quality[:, : seeds // candidates * candidates].reshape(-1, candidates)
    means = [float(best_of_drawn(groups, k).mean()) for k in range(1, candidates + 1)]
    value = np.interp(finished, np.arange(1, candidates + 1), means)
    return float((value - means[0]) / (means[-1] - means[0]))


def best_of_drawn(quality: np.ndarray, drawn: int, pick: int = 1) -> np.ndarray:
    """[prompts]: the expected mean of the `pick` highest of `drawn` qualities drawn from [prompts, seeds] without replacement."""
    seeds = quality.shape[1]
    # Probability that a quality with `below` lower ones is drawn, together with at most pick - 1 of the higher ones.
    weights = [
        sum(math.comb(seeds - 1 - below, above) * math.comb(below, drawn - 1 - above) for above in range(min(pick, drawn)))
        / math.comb(seeds, drawn)
        for below in range(seeds)
    ]
    return np.sort(quality, axis=1) @ np.array(weights) / pick


def mean_known(values: np.ndarray) -> float:
    """Mean over the finite values; nan where there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def bootstrap(
    figure: Callable[[np.ndarray], float], prompts: int, repeats: int = 500, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a figure over resampled prompts; `figure` takes indices of prompts.

    Resamples for which the figure is nan do not count; without any other the interval is (nan, nan).
    """
    rng = np.random.default_rng(seed)
    values = [figure(rng.integers(prompts, size=prompts)) for _ in range(repeats)]
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
