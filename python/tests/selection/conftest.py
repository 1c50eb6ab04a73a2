"""The tiny pipelines of the guard's tests, with the real service that serves their probes, as backends of a selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL.Image import Image

from diffusion_probe.selection import PipelineBackend
from diffusion_probe.tiny import TinyBackbone
from diffusion_probe.tiny.backbone import STEPS

from ..guard.conftest import client, count_rows, make_backbone, models, probe

__all__ = ["client", "count_rows", "make_backbone", "models", "probe"]


def darkness(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """A metric without a model."""
    return [1 - float(np.asarray(image).mean()) / 255 for image in images]


@pytest.fixture
def metric() -> Callable[..., list[float]]:
    """A metric of finished images."""
    return darkness


@pytest.fixture
def backend_of() -> Callable[[TinyBackbone], PipelineBackend]:
    """The backend of a tiny pipeline."""

    def make(backbone: TinyBackbone, **changes: Any) -> PipelineBackend:
        return PipelineBackend(backbone.pipe, backbone.name, STEPS, backbone.settings | changes)

    return make
