"""The conformal threshold is the defined order statistic and bounds the false-drop rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.evaluation.conformal import conformal_threshold


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.005, 0.5))
def test_it_is_the_ranked_score_of_its_definition(scores: list[float], alpha: float) -> None:
    rank = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
    threshold = conformal_threshold(np.array(scores), alpha)
    if rank < 1:
        assert threshold is None
    else:
        assert threshold == sorted(scores)[rank - 1]
        assert sum(score < threshold for score in scores) < rank


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9)])
def test_it_needs_enough_good_samples(alpha: float, needed: int) -> None:
    scores = np.linspace(0, 1, needed)
    assert conformal_threshold(scores, alpha) == 0
    assert conformal_threshold(scores[1:], alpha) is None


def test_decimal_fractions_are_not_rounded_down() -> None:
    assert conformal_threshold(np.arange(99.0), 0.07) == 6  # 0.07 * 100 is a little below 7


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1])
def test_good_samples_are_dropped_no_more_often_than_alpha(alpha: float) -> None:
    rng = np.random.default_rng(int(alpha * 100))
    rates = []
    for _ in range(2000):
        good = rng.normal(size=149)
        threshold = conformal_threshold(good, alpha)
        rates.append((rng.normal(size=50) < threshold).mean())
    error = np.std(rates) / np.sqrt(len(rates))
    assert alpha / 2 < np.mean(rates) <= alpha + 3 * error
