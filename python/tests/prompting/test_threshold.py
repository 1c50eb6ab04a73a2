"""The threshold of rewriting against brute force."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_probe.planning.runs import Runs
from diffusion_probe.prompting import ALWAYS, NEVER, calibrated_threshold
from diffusion_probe.prompting.threshold import lowest_share, rewriting_gains

from ..planning.synthetic import STEPS, random_runs


def gain(scores: np.ndarray, quality: np.ndarray, own: int, candidates: int) -> tuple[float, float]:
    """The gain, and how often the image itself is the best, by walking through every choice of other seeds."""
    others = [seed for seed in range(len(scores)) if seed != own]
    choices = list(combinations(others, min(candidates, len(others))))
    taken = [max([own, *choice], key=lambda seed: (scores[seed], seed == own)) for choice in choices]
    return float(np.mean([quality[seed] for seed in taken]) - quality[own]), float(np.mean([seed == own for seed in taken]))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 1000))
def test_gains_are_those_of_every_choice(seeds: int, candidates: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, quality = rng.normal(size=(3, seeds)), rng.normal(size=(3, seeds))
    expected = np.array([[gain(scores[p], quality[p], own, candidates) for own in range(seeds)] for p in range(3)])
    gains, kept = rewriting_gains(scores, quality, candidates)
    assert gains == pytest.approx(expected[..., 0])
    assert kept == pytest.approx(expected[..., 1])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.floats(0, 20), st.integers(0, 1000))
def test_tau_has_the_highest_net_gain_of_all_thresholds(candidates: int, price: float, seed: int) -> None:
    runs = random_runs(10, 4, 0.7, seed)
    runs = Runs(runs.points, STEPS, np.round(runs.scores, 1), runs.quality)  # with equal scores
    found = calibrated_threshold(runs, 3, candidates, price)
    scores = runs.scores[:, :, 1]
    gains, kept = rewriting_gains(scores, runs.quality, candidates)
    costs = candidates * 3 + price + 3 * kept
    net = gains - found.value_of_call * costs
    best = max(net[scores < tau].sum() for tau in [*np.unique(scores), math.inf])
    assert net[scores < found.tau].sum() == pytest.approx(best)
    assert found.share == pytest.approx((scores < found.tau).mean())
    if found.share:
        assert found.calls == pytest.approx(costs[scores < found.tau].mean())


def test_a_price_above_every_gain_says_never_and_a_price_below_zero_says_always() -> None:
    runs = random_runs(200, 6, 0.0)
    assert calibrated_threshold(runs, 1, 3, rewriter_calls=1e6).tau == NEVER
    assert calibrated_threshold(runs, 1, 3, rewriter_calls=-5.0).tau == ALWAYS


def test_a_dearer_rewriter_is_asked_less_often() -> None:
    runs = random_runs(300, 6, 0.5)
    shares = [calibrated_threshold(runs, 3, 4, price).share for price in (0, 5, 10, 20)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_rewriting_pays_below_tau_more_than_above() -> None:
    runs = random_runs(300, 6, 0.5)
    found = calibrated_threshold(runs, 3, 4)
    scores = runs.scores[:, :, 1]
    gains, _ = rewriting_gains(scores, runs.quality, 4)
    assert found.gain == pytest.approx(gains[scores < found.tau].mean())
    assert found.gain > found.value_of_call * found.calls > gains[scores >= found.tau].mean()


def test_a_share_of_the_calibration_gives_a_score() -> None:
    runs = random_runs(300, 6, 0.5)
    assert (runs.scores[:, :, 1] < lowest_share(runs, 3, 0.4)).mean() == pytest.approx(0.4, abs=1e-3)


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no scores at step 2: expected one of \[1, 3, 5\]"):
        calibrated_threshold(random_runs(10, 3, 0.5), 2, 3)
    with pytest.raises(ValueError, match="one seed per prompt"):
        calibrated_threshold(random_runs(10, 1, 0.5), 3, 3)
