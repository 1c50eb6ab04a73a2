"""The soak with fewer calls: once through every weather."""

from __future__ import annotations

import sys

import pytest

from .soak import CALLS_PER_WEATHER, WEATHERS, soak


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_after_all_weathers_every_call_is_scored_and_nothing_is_left(kind: str) -> None:
    assert "scored" in soak(kind, CALLS_PER_WEATHER * len(WEATHERS))
