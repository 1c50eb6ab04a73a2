"""Shared by the tests of capture: tiny pipelines."""

from __future__ import annotations

import pytest
import torch

from diffusion_probe.tiny import TINY, TinyBackbone

torch.set_num_threads(1)


@pytest.fixture(params=list(TINY))
def backbone(request: pytest.FixtureRequest) -> TinyBackbone:
    """Each backbone in turn, new for every test."""
    return TinyBackbone(request.param)


@pytest.fixture
def make_backbone() -> type[TinyBackbone]:
    """A backbone by its name."""
    return TinyBackbone
