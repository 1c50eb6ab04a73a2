"""The old and the new calibration of a probe on the same feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calibrate import CalibrationSamples, calibration_entry
from ..conformal import entry_at, threshold_of
from ..figures import bootstrap
from .feedback import Feedback

FOLDS = 5
BINS = 10  # of equal weight
REPEATS = 500  # bootstrap resamples
MIN_CAPTIONS = 4 * FOLDS  # fewer leave too little to calibrate on and to judge by


@dataclass(frozen=True)
class Judged:
    """What a calibration does to the feedback of one step; None where it cannot be known."""

    threshold: float | None  # of the calibration that the manifest holds; None: nothing is dropped
    false_drop: float | None  # share of the good samples that score below the threshold, 0 to 1
    interval: tuple[float, float] | None  # of it, 95%, by resampling captions
    drop_rate: float | None  # share of all samples, 0 to 1
    calibration_error: float | None  # of p_good, 0 to 1


def judge(step: int, samples: CalibrationSamples, manifest: Mapping[str, Any], alpha: float) -> tuple[Judged, Judged]:
    """The old calibration on all feedback of a step, and the new one on feedback that it was not made from.

    All figures are weighted, so that they are those of all samples, finished or not. The new figures are of five calibrations,
    each from four fifths of the captions and judged on the others; its threshold is that of all feedback. With fewer than
    MIN_CAPTIONS captions the new figures are None.
    """
    good_at = manifest["metric"]["good_at"]
    old = entry_at(manifest, step)
    whole = calibration_entry(step, samples, good_at)
    before = applied([(old, samples)], good_at, alpha, None if old is None else threshold_of(old, alpha))
    threshold = threshold_of(whole, alpha)
    captions = np.unique(samples.caption)
    if len(captions) < MIN_CAPTIONS:
        return before, Judged(threshold, None, None, None, None)
    fold_of = dict(zip(captions.tolist(), (np.random.default_rng(0).permutation(len(captions)) % FOLDS).tolist(), strict=True))
    fold = np.array([fold_of[caption] for caption in samples.caption.tolist()])
    held_out = [(calibration_entry(step, samples.take(fold != own), good_at), samples.take(fold == own)) for own in range(FOLDS)]
    return before, applied(held_out, good_at, alpha, threshold)


def applied(
    parts: Sequence[tuple[Mapping[str, Any] | None, CalibrationSamples]],
    good_at: float,
    alpha: float,
    threshold: float | None,
    intervals: bool = True,
) -> Judged:
    """What pairs of a calibration and the samples that it is applied to come to together. `threshold`: the one to state."""
    caption, weight, good = (
        np.concatenate([values(samples) for _, samples in parts])
        for values in (lambda own: own.caption, lambda own: own.weight, lambda own: own.quality >= good_at)
    )
    dropped = np.concatenate([_is_dropped(entry, samples, alpha) for entry, samples in parts])
    lost_of, good_of = (_per_caption(caption, weight * which) for which in (good & dropped, good))

    def rate(captions: np.ndarray) -> float:
        return lost_of[captions].sum() / good_of[captions].sum() if good_of[captions].any() else float("nan")

    low, high = bootstrap(rate, len(good_of), REPEATS) if intervals else (np.nan, np.nan)
    error = None
    if all(entry is not None for entry, _ in parts):
        predicted = np.concatenate([p_good(entry, samples.scores) for entry, samples in parts if entry is not None])
        error = calibration_error(predicted, good, weight)
    return Judged(
        threshold=threshold,
        false_drop=float(lost_of.sum() / good_of.sum()) if good.any() else None,
        interval=(low, high) if np.isfinite(low) else None,
        drop_rate=float((weight * dropped).sum() / weight.sum()),
        calibration_error=error,
    )


def _is_dropped(entry: Mapping[str, Any] | None, samples: CalibrationSamples, alpha: float) -> np.ndarray:
    threshold = None if entry is None else threshold_of(entry, alpha)
    return np.zeros(len(samples), bool) if threshold is None else samples.scores < threshold


def _per_caption(caption: np.ndarray, values: np.ndarray) -> np.ndarray:
    _, index = np.unique(caption, return_inverse=True)
    return np.bincount(index, weights=values)


def p_good(entry: Mapping[str, Any], scores: np.ndarray) -> np.ndarray:
    """[n]: the probability of being good that a calibration entry gives to scores [n], 0 to 1."""
    return np.interp(scores, entry["p_good"]["score"], entry["p_good"]["probability"])


def calibration_error(predicted: np.ndarray, good: np.ndarray, weight: np.ndarray) -> float:
    """Mean distance of predicted and realised share of good samples over bins of equal weight, 0 to 1; all arguments [n].

    The adaptive calibration error of Nixon et al., Measuring Calibration in Deep Learning (arXiv 1904.01685), for one class.
    """
    _, value = np.unique(predicted, return_inverse=True)
    of_value = np.bincount(value, weights=weight)
    # Samples with equal predictions, of which isotonic regression makes many, are in one bin.
    middle = (np.cumsum(of_value) - of_value / 2) / weight.sum()
    bins = np.minimum((middle * BINS).astype(int), BINS - 1)[value]
    apart = np.bincount(bins, weights=weight * (predicted - good), minlength=BINS)
    return float(np.abs(apart).sum() / weight.sum())


def compare_calibrations(feedback: Feedback, manifest: Mapping[str, Any], alpha: float) -> dict[int, tuple[Judged, Judged]]:
    """The old and the new calibration at each step with feedback."""
    return {step: judge(step, samples, manifest, alpha) for step, samples in feedback.by_step.items()}
