"""A threshold that keeps its promise for the calibration at hand: training-conditional, with captions as clusters.

Over calibrations of as many captions, the false-drop rate of the threshold is at most alpha in the share `confidence` of them.
The
bound is that of a share in a cluster sample: a ratio estimator with its linearised standard error (Cochran, Sampling Techniques,
3rd ed., 6.3 and 11.8), and the term of Wilson's interval for few counts, with captions as the count: that holds however much the
samples of a caption resemble each other. Dropping below the largest score up to which the bound is at most alpha is the method of
Bates et al., Distribution-free, risk-controlling prediction sets (arXiv 2101.02703).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from .rounding import rounded

CONFIDENCE = 0.95  # of the policy `max_false_drop` where it gives none
# Scores that are stored: each of the first ones, then ever fewer, so that neighbours differ by at most 1 / DENSE of their rate.
DENSE = 64


@dataclass(frozen=True)
class FalseDropCurve:
    """What dropping below each of k scores loses of the good samples."""

    captions: int  # those that have a good sample
    score: np.ndarray  # [k], ascending
    rate: np.ndarray  # [k], share of the good samples that score below
    error: np.ndarray  # [k], its standard error over captions

    def entry(self) -> dict[str, Any]:
        """The curve as it stands in a probe.json."""
        return {
            "captions": self.captions,
            "score": rounded(self.score),
            "rate": rounded(self.rate),
            "error": rounded(self.error),
        }


def effective_count(weight: np.ndarray) -> float:
    """How many samples of equal weight those with weights [n] count for where the heaviest are: n times mean over maximum.

    What a threshold loses is what a policy dropped before, and so the heaviest samples. The variance of their share is that of
    n times mean over maximum independent ones. Kish's count is of all samples, and thresholds by it exceed alpha too often.
    """
    return float(weight.sum() / weight.max()) if len(weight) else 0.0


def false_drop_curve(good_scores: np.ndarray, caption: np.ndarray, weight: np.ndarray | None = None) -> FalseDropCurve | None:
    """The curve of all good samples [n] with the index of each one's caption; None without good samples of two captions.

    `weight` [n]: one over the probability with which each was drawn; None: all alike. `captions` is then what the weights leave.
    """
    captions, caption = np.unique(caption, return_inverse=True)
    if len(captions) < 2:
        return None
    order = np.argsort(good_scores, kind="stable")
    good_scores, caption = good_scores[order], caption[order]
    weight = np.ones(len(order)) if weight is None else weight[order]
    total, counted = weight.sum(), int(len(captions) * effective_count(weight) / len(order) + 1e-9)
    score, below = np.unique(good_scores, return_index=True)  # `below`: how many good samples score below
    kept = dense_first(len(score))
    score, below = score[kept], below[kept]
    of_caption = np.bincount(caption, weights=weight)
    lost = np.zeros(len(captions))
    rate, error = np.concatenate([[0.0], np.cumsum(weight)])[below] / total, np.zeros(len(score))
    start = 0
    for index, end in enumerate(below):
        np.add.at(lost, caption[start:end], weight[start:end])
        start = end
        residual = lost - rate[index] * of_caption
        error[index] = np.sqrt((residual**2).sum() * len(captions) / (len(captions) - 1)) / total
    return FalseDropCurve(max(counted, 1), score, rate, error)


def dense_first(count: int) -> np.ndarray:
    """Ascending indices below `count`: all at first, then with gaps of at most 1 / DENSE of the index."""
    indices, index = [], 0
    while index < count:
        indices.append(index)
        index += max(1, index // DENSE)
    return np.array(indices, np.intp)


def independent_curve(good_scores: np.ndarray) -> FalseDropCurve:
    """The curve of good samples of different captions, ascending [n]."""
    rate = np.arange(len(good_scores)) / max(len(good_scores), 1)
    return FalseDropCurve(len(good_scores), good_scores, rate, np.sqrt(rate * (1 - rate) / max(len(good_scores), 1)))


def upper_bound(curve: FalseDropCurve, confidence: float) -> np.ndarray:
    """[k]: the rate that is exceeded with a probability of at most 1 - `confidence`."""
    z = NormalDist().inv_cdf(confidence)
    return curve.rate + z * curve.error + z**2 / (2 * curve.captions)


def confident_threshold(curve: FalseDropCurve, alpha: float, confidence: float = CONFIDENCE) -> float | None:
    """The largest score up to which every bound is at most `alpha`; None where `alpha` needs more good samples."""
    above = np.flatnonzero(upper_bound(curve, confidence) > alpha) if curve.captions else np.array([0])
    allowed = int(above[0]) if len(above) else len(curve.score)
    return float(curve.score[allowed - 1]) if allowed else None


def curve_of(entry: Mapping[str, Any]) -> FalseDropCurve:
    """The curve of a calibration entry. One without it holds one good sample per caption, which are independent."""
    stored = entry.get("false_drop")
    if stored is None:
        return independent_curve(np.asarray(entry["good_scores"], np.float64))
    return FalseDropCurve(stored["captions"], *(np.asarray(stored[name], np.float64) for name in ("score", "rate", "error")))
