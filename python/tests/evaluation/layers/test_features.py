"""Summaries of maps, on maps whose summaries are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_probe.evaluation.layers.features import FEATURES, map_features

SIDE = 8


def named(attention: np.ndarray, token_mask: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(FEATURES, np.moveaxis(map_features(attention, token_mask), -1, 0), strict=True))


def test_a_uniform_map_and_a_single_peak() -> None:
    maps = np.zeros((1, 1, 2, SIDE, SIDE), np.float16)
    maps[0, 0, 0] = 0.25
    maps[0, 0, 1, 6, 1] = 0.5
    features = named(maps, np.ones((1, 2), np.uint8))
    assert features["highest_entropy"] == pytest.approx(1, abs=1e-3)
    assert features["lowest_entropy"] == pytest.approx(0, abs=1e-2)
    assert features["highest_log_mass"] == pytest.approx(np.log(0.25), abs=1e-3)
    assert features["lowest_log_mass"] == pytest.approx(np.log(0.5 / SIDE**2), abs=1e-3)
    assert features["highest_log_peak"] == pytest.approx(np.log(0.5), abs=1e-3)
    # The variance of a uniform distribution over n cells of width 1 / n is (1 - 1 / n**2) / 12 along each axis.
    assert features["highest_spread"] == pytest.approx(np.sqrt(2 * (1 - 1 / SIDE**2) / 12), abs=1e-3)
    assert features["lowest_spread"] == pytest.approx(0, abs=0.02)
    assert features["mean_overlap"] == pytest.approx(1 / SIDE, abs=2e-2)
    assert features["log_mass_of_cell_3_0"] == pytest.approx(np.log(0.25 + 0.5 / 4), abs=1e-3)
    assert features["log_mass_of_cell_0_0"] == pytest.approx(np.log(0.25), abs=1e-3)


def test_equal_maps_overlap_wholly_and_a_single_token_not_at_all() -> None:
    maps = np.tile(np.random.default_rng(0).random((1, 1, 1, SIDE, SIDE)).astype(np.float16), (1, 1, 2, 1, 1)) / 2
    assert named(maps, np.ones((1, 2), np.uint8))["mean_overlap"] == pytest.approx(1, abs=1e-3)
    assert named(maps, np.array([[1, 0]], np.uint8))["highest_overlap"] == 0


@given(st.integers(1, 5), st.integers(1, 3), st.sampled_from([(1, 1), (2, 3), (4, 4), (16, 16)]))
@settings(max_examples=20, deadline=None)
def test_padding_changes_nothing_and_every_summary_is_finite(tokens: int, padding: int, grid: tuple[int, int]) -> None:
    maps = np.random.default_rng(tokens).random((2, 3, tokens + padding, *grid)).astype(np.float16) / (tokens + padding)
    mask = np.zeros((2, tokens + padding), np.uint8)
    mask[:, :tokens] = 1
    features = map_features(maps, mask)
    assert features.shape == (2, 3, len(FEATURES))
    assert np.isfinite(features).all()
    assert features == pytest.approx(map_features(maps[:, :, :tokens], mask[:, :tokens]), abs=1e-5)
