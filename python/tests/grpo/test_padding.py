"""The rows that a rank trains on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.grpo import trained_rows


@given(st.lists(st.sampled_from([0.0, -1.5, 2.0, 0.25]), min_size=1, max_size=30), st.integers(1, 6), st.integers(0, 99))
def test_batches_are_full_and_the_mean_is_that_over_all_rows(advantages, batches, seed) -> None:
    advantages = np.array(advantages)
    rows, own = trained_rows(advantages, batches, seed)
    kept = np.flatnonzero(advantages)
    assert set(kept) <= set(rows)
    if len(kept):
        assert len(rows) % batches == 0
        assert set(rows) == set(kept), "padding repeats kept rows"
        assert len(rows) < len(kept) + batches
    assert own.mean() == pytest.approx(advantages.mean(), abs=1e-12)
    twice, both = trained_rows(np.stack([advantages, advantages], axis=1), batches, seed)
    assert list(twice) == list(rows)
    assert both[:, 1] == pytest.approx(own)


def test_no_batch_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="batches is 0"):
        trained_rows([1.0], 0, 0)
