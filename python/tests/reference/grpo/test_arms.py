"""Which samples each arm keeps, and the settings of a training."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.reference.grpo.arms import keep_rows, most_varied
from diffusion_probe.reference.grpo.settings import ARMS, GrpoSettings
from diffusion_probe.reference.rectified_flow import GUIDANCE, STEPS


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=9), st.data())
def test_the_most_varied_samples_are_those_of_an_exhaustive_search(scores, data) -> None:
    scores = np.array(scores, np.float64)
    count = data.draw(st.integers(1, len(scores)))
    found = most_varied(scores, count)
    assert len(set(found.tolist())) == count
    assert scores[found].var() == pytest.approx(max(scores[list(rows)].var() for rows in combinations(range(len(scores)), count)))


@pytest.mark.parametrize("arm", ARMS)
def test_each_arm_keeps_its_share_of_every_group(arm: str) -> None:
    settings = GrpoSettings(arm=arm)
    scores, group = np.random.default_rng(0).random(64), np.repeat(range(4), 16)
    kept = [keep_rows(settings, scores, group, (0, seed)) for seed in range(300)]
    shares = np.array([[np.mean(np.isin(np.flatnonzero(group == name), one.rows)) for name in range(4)] for one in kept])
    assert shares.mean(axis=0) == pytest.approx([settings.expected_kept] * 4, abs=0.02)
    weights = np.mean([one.weights for one in kept], axis=0)
    if arm in ("full", "random", "tails"):
        assert weights == pytest.approx(np.ones(64), abs=0.35)
    else:
        assert set(weights.tolist()) == {0.0, 1.0}


def test_an_arm_that_needs_no_score_spends_nothing_on_samples_that_do_not_go_on() -> None:
    calls = {arm: GrpoSettings(arm=arm, prompts=2, group=16).sampling_calls for arm in ARMS}
    assert calls["full"] == 2 * 16 * 25
    assert calls["random"] == 2 * 8 * 25
    assert calls["tails"] == calls["top"] == calls["variance"] == 2 * (16 * 5 + 8 * 20)


def test_the_defaults_are_those_of_the_world() -> None:
    assert (GrpoSettings().steps, GrpoSettings().guidance) == (STEPS, GUIDANCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": "half"}, "arm is 'half'"),
        ({"group": 1}, "group is 1"),
        ({"prompts": 3}, "3 prompts cannot be divided into 2 updates"),
        ({"window": 9}, "window is 9, window_last 8"),
        ({"window_last": 25}, "window_last 25 and steps 25"),
        ({"decision_step": 25}, "decision_step is 25"),
        ({"floor": 0.7}, "floor is 0.7 and share is 0.5"),
        ({"beta": -1.0}, "beta is -1.0"),
    ],
)
def test_values_that_do_not_fit_together_are_named(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        GrpoSettings(**change)
