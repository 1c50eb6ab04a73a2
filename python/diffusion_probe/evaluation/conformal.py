"""The policy `max_false_drop` with NumPy alone: its threshold, and what dropping below a threshold does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .confidence import CONFIDENCE, confident_threshold, curve_of
from .figures import mean_known

ROUNDING_SLACK = 1e-9  # alpha (n + 1) of a decimal alpha may fall this much below the whole number that is meant


def conformal_threshold(good_scores: np.ndarray, alpha: float) -> float | None:
    """The threshold of `max_false_drop` with the confidence null, as the service computes it.

    None where `alpha` needs more good samples.

    It is the floor(alpha (n + 1))-th smallest of n good calibration scores. Dropping what scores strictly below it drops a good
    sample with a probability of at most `alpha`, as long as calibration samples and new ones are exchangeable (split conformal
    prediction).
    """
    rank = math.floor(alpha * (len(good_scores) + 1) + ROUNDING_SLACK)
    return None if rank < 1 else float(np.sort(good_scores)[min(rank, len(good_scores)) - 1])


def threshold_of(entry: Mapping[str, Any], alpha: float, confidence: float | None = CONFIDENCE) -> float | None:
    """The threshold of the policy `max_false_drop` from a calibration entry; `confidence` None: on average over calibrations."""
    if confidence is None:
        return conformal_threshold(np.asarray(entry["good_scores"], np.float64), alpha)
    return confident_threshold(curve_of(entry), alpha, confidence)


def entry_at(manifest: Mapping[str, Any], step: int) -> Mapping[str, Any] | None:
    """The calibration entry of a probe at a step; None where it is not calibrated there."""
    return next((entry for entry in manifest["calibration"] if entry["step"] == step), None)


def drop_figures(scores: np.ndarray, quality: np.ndarray, good_at: float, threshold: float | None) -> dict[str, float]:
    """What a threshold does to samples of known quality: arrays of one shape. Without a threshold nothing is dropped.

    `false_drop`: share of the good samples that are dropped; `drop_rate`: share of all; `kept_quality`: mean quality of the kept
    ones. Rounded to 4 digits; nan where there is nothing to take a share or mean of.
    """
    dropped = np.zeros(scores.shape, bool) if threshold is None else scores < threshold
    figures = {
        "false_drop": mean_known(dropped[quality >= good_at]),
        "drop_rate": float(dropped.mean()),
        "kept_quality": mean_known(quality[~dropped]),
    }
    return {name: round(value, 4) for name, value in figures.items()}
