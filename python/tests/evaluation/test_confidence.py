"""The threshold with a confidence keeps its promise for single calibrations, clustered or not."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.evaluation.confidence import (
    FalseDropCurve,
    confident_threshold,
    curve_of,
    dense_first,
    false_drop_curve,
    independent_curve,
    upper_bound,
)
from diffusion_probe.evaluation.conformal import threshold_of

CAPTIONS, SEEDS = 300, 8


def clustered(rng: np.random.Generator, captions: int = CAPTIONS) -> tuple[np.ndarray, np.ndarray]:
    """Good scores of captions with very different numbers of good samples, and the caption of each."""
    good_of = rng.binomial(SEEDS, rng.beta(0.5, 0.7, captions))
    caption = np.repeat(np.arange(captions), good_of)
    return rng.normal(size=captions)[caption] + 0.7 * rng.normal(size=len(caption)), caption


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1])
def test_few_calibrations_exceed_alpha(alpha: float) -> None:
    rng = np.random.default_rng(round(1000 * alpha))
    everything = np.sort(clustered(rng, 200_000)[0])
    exceeding, trials = 0, 400
    for _ in range(trials):
        threshold = confident_threshold(false_drop_curve(*clustered(rng)), alpha)
        assert threshold is None or np.isfinite(threshold)
        exceeding += threshold is not None and np.searchsorted(everything, threshold) / len(everything) > alpha
    assert exceeding / trials <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trials)


def test_the_standard_error_is_that_of_resampled_captions() -> None:
    rng = np.random.default_rng(3)
    scores, caption = clustered(rng)
    curve = false_drop_curve(scores, caption)
    place = int(np.searchsorted(curve.rate, 0.1))
    lost = np.bincount(caption, weights=scores < curve.score[place], minlength=CAPTIONS)
    good = np.bincount(caption, minlength=CAPTIONS)
    drawn = rng.integers(CAPTIONS, size=(2000, CAPTIONS))
    resampled = lost[drawn].sum(axis=1) / good[drawn].sum(axis=1)
    assert curve.error[place] == pytest.approx(resampled.std(), rel=0.1)


def test_a_higher_confidence_and_a_lower_alpha_are_more_careful() -> None:
    curve = false_drop_curve(*clustered(np.random.default_rng(1)))
    thresholds = [confident_threshold(curve, 0.1, confidence) for confidence in (0.5, 0.8, 0.95, 0.999)]
    assert thresholds == sorted(thresholds, reverse=True)
    by_alpha = [confident_threshold(curve, alpha) for alpha in (0.02, 0.05, 0.1, 0.3)]
    assert by_alpha == sorted(by_alpha)


def test_without_enough_good_samples_there_is_no_threshold() -> None:
    few = independent_curve(np.linspace(0, 1, 20))
    assert confident_threshold(few, 0.05) is None
    assert confident_threshold(independent_curve(np.array([])), 0.5) is None
    assert false_drop_curve(np.array([0.1, 0.2]), np.array([4, 4])) is None
    assert false_drop_curve(np.array([]), np.array([])) is None


def test_the_bound_is_the_one_that_is_documented() -> None:
    curve = FalseDropCurve(50, np.array([0.1, 0.2]), np.array([0.0, 0.02]), np.array([0.0, 0.02]))
    z = NormalDist().inv_cdf(0.9)
    assert upper_bound(curve, 0.9) == pytest.approx([z * z / 100, 0.02 + 0.02 * z + z * z / 100])


@given(st.integers(0, 5000))
def test_stored_scores_are_all_at_first_then_near_each_other(count: int) -> None:
    kept = dense_first(count)
    assert list(kept[:64]) == list(range(min(count, 64)))
    assert (np.diff(kept) <= np.maximum(kept[:-1] // 64, 1)).all()
    assert count == 0 or count - kept[-1] <= max(1, count // 64)


def test_storing_some_scores_only_lowers_the_threshold_a_little() -> None:
    scores, caption = clustered(np.random.default_rng(2), 2000)
    curve = false_drop_curve(scores, caption)
    stored = curve_of({"false_drop": curve.entry()})
    assert len(stored.score) < 600
    threshold = confident_threshold(stored, 0.1)
    assert threshold == pytest.approx(confident_threshold(curve, 0.1), rel=1e-5)
    everything = np.unique(scores)
    assert np.searchsorted(everything, threshold) >= 0.9 * np.searchsorted(everything, threshold_of_all(scores, caption, 0.1))


def threshold_of_all(scores: np.ndarray, caption: np.ndarray, alpha: float) -> float:
    """By its definition, at every good score."""
    best = -np.inf
    good = np.bincount(caption)
    for score in np.sort(scores):
        lost = np.bincount(caption, weights=scores < score, minlength=len(good))
        rate = lost.sum() / good.sum()
        error = np.sqrt(((lost - rate * good) ** 2).sum()) / good.sum()
        z = NormalDist().inv_cdf(0.95)
        if rate + z * error + z * z / (2 * (good > 0).sum()) > alpha:
            return best
        best = score
    return best


def test_a_calibration_entry_gives_either_promise() -> None:
    scores, caption = clustered(np.random.default_rng(4))
    entry = {"good_scores": list(np.linspace(0, 1, 99)), "false_drop": false_drop_curve(scores, caption).entry()}
    assert threshold_of(entry, 0.1, None) == pytest.approx(9 / 98)
    assert threshold_of(entry, 0.1) == confident_threshold(curve_of(entry), 0.1)
    without = {**entry, "false_drop": None}
    assert threshold_of(without, 0.1) == confident_threshold(independent_curve(np.linspace(0, 1, 99)), 0.1)
    assert threshold_of(without, 0.1) < threshold_of(without, 0.1, None)
