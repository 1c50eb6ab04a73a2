"""Probabilities, draws and weights of the samples of a group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.grpo import allocate, draw, weights

SHAPES = st.sampled_from(["tails", "top", "uniform"])
SCORES = st.lists(st.floats(-3, 3) | st.just(float("nan")), min_size=1, max_size=40)
SHARES = st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)).map(sorted)


@given(SCORES, SHAPES, SHARES, st.integers(1, 4))
def test_probabilities_lie_between_floor_and_one_and_keep_the_share_of_every_group(scores, shape, shares, groups) -> None:
    floor, share = shares
    group = np.arange(len(scores)) % groups
    probabilities = allocate(scores, group, floor, shape, share)
    assert (probabilities >= floor).all()
    assert (probabilities <= 1).all()
    for name in range(groups):
        own = np.isfinite(scores) & (group == name)
        if own.any():
            assert probabilities[own].mean() == pytest.approx(share)
    assert (probabilities[~np.isfinite(scores)] == 1).all(), "without a score nothing is dropped"


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=20), st.randoms())
def test_only_the_order_within_a_group_counts(scores, random) -> None:
    scores, order = np.array(scores), list(range(len(scores)))
    random.shuffle(order)
    before = allocate(scores, np.zeros(len(scores)), 0.2)
    assert allocate(scores[order], np.zeros(len(scores)), 0.2) == pytest.approx(before[order])
    both = allocate([*scores, *(2 * scores + 7)], np.repeat(["a", "b"], len(scores)), 0.2)
    assert both == pytest.approx([*before, *before])


def test_each_shape_prefers_what_it_is_named_after() -> None:
    scores, group = np.arange(16.0), np.zeros(16)
    tails, top, uniform = (allocate(scores, group, 0.1, shape) for shape in ("tails", "top", "uniform"))
    assert tails == pytest.approx(tails[::-1])
    assert (np.diff(tails[:8]) < 0).all()
    assert (np.diff(top) > 0).all()
    assert (uniform == 0.5).all()
    assert allocate(np.ones(5), np.zeros(5), 0.1, "tails") == pytest.approx([0.5] * 5), "ties are alike"


@given(st.lists(st.floats(0.01, 1), max_size=30), st.integers(0, 2**32))
def test_weights_are_one_over_the_probability_of_the_kept(probabilities, seed) -> None:
    kept = draw(probabilities, seed)
    found = weights(probabilities, kept)
    assert list(np.flatnonzero(found)) == list(kept)
    assert (found[kept] * np.array(probabilities)[kept] == pytest.approx(1)) if len(kept) else True
    assert list(draw(probabilities, seed)) == list(kept)
    assert set(kept) <= set(draw(np.sqrt(probabilities), seed)), "a higher probability never loses a sample"


def test_samples_are_kept_as_often_as_stated_and_independently() -> None:
    probabilities = np.array([0.2, 0.5, 0.9])
    drawn = np.array([weights(probabilities, draw(probabilities, seed)) > 0 for seed in range(20_000)])
    assert drawn.mean(axis=0) == pytest.approx(probabilities, abs=0.012)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.025


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [0], 0.0), "floor is 0.0 and share is 0.5"),
        (([1.0], [0], 0.6), "floor is 0.6 and share is 0.5"),
        (([1.0], [0], 0.2, "middle"), "expected one of tails, top, uniform"),
        (([1.0, 2.0], [0], 0.2), "group is .1. and scores are .2."),
    ],
)
def test_mistakes_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        allocate(*arguments)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, float("nan")])
def test_no_draw_by_what_is_no_probability(value) -> None:
    with pytest.raises(ValueError, match="the probability of sample 1 is"):
        draw([0.5, value], 0)
