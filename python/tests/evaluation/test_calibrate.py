"""The calibration entry of a decision point."""

from __future__ import annotations

import numpy as np
import pytest

from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.evaluation.confidence import false_drop_curve


def test_the_false_drop_curve_is_that_of_all_good_samples_of_known_quality() -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(80, 6))
    scores = quality + rng.normal(size=quality.shape)
    quality[3, 2] = np.nan
    entry = calibration_at(5, scores, quality, 0.5)
    prompt, seed = np.nonzero(quality >= 0.5)
    expected = false_drop_curve(scores[prompt, seed], prompt)
    assert entry["false_drop"]["captions"] == len(np.unique(prompt))
    for name in ("score", "rate", "error"):
        assert entry["false_drop"][name] == pytest.approx(getattr(expected, name), rel=1e-5)
    assert len(entry["good_scores"]) < len(prompt)


def test_without_two_captions_that_have_a_good_sample_there_is_no_curve() -> None:
    quality = np.array([[0.9, 0.8], [0.1, 0.2]])
    assert calibration_at(5, quality, quality, 0.5)["false_drop"] is None
