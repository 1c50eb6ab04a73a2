"""Fixtures for tests of pipelines as sources: prompts, a metric, and sources of tiny pipelines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image

from diffusion_probe.collection.source import PipelineSource
from diffusion_probe.metrics.quality import QualityEvaluator
from diffusion_probe.probe.manifest import Metric
from diffusion_probe.tiny import TinyBackbone

torch.set_num_threads(1)

STEPS = (1, 2)
TOTAL_STEPS = 2
SPLITS = {
    "train": ["a cat", "a red dog on the banana", "two dog", "three key"],
    "calibration": ["a blue key", "the banana"],
    "test": ["a dog left of the cat", "two key"],
}


def redness(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """A metric without a model: the mean of the red channel, 0 to 1."""
    return [float(np.asarray(image)[..., 0].mean()) / 255 for image in images]


def source_of(name: str, evaluator: Any = None, **changes: Any) -> PipelineSource:
    """A tiny pipeline as a source."""
    backbone = TinyBackbone(name)
    own = ("prompt", "num_images_per_prompt", "num_inference_steps", "generator", "output_type")
    call = {key: value for key, value in backbone.arguments("a").items() if key not in own}
    settings: dict[str, Any] = {"total_steps": TOTAL_STEPS, "steps": STEPS, "call": call, "batch": 4}
    evaluator = evaluator or QualityEvaluator(redness)
    return PipelineSource(backbone.pipe, name, SPLITS, evaluator, Metric("redness", None, None), **{**settings, **changes})


@pytest.fixture
def make_source() -> Callable[..., PipelineSource]:
    """The function that makes sources."""
    return source_of


@pytest.fixture(scope="session")
def saved_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline, as from_pretrained reads it."""
    folder = tmp_path_factory.mktemp("pipelines") / "tiny-sd15"
    TinyBackbone("sd15").pipe.save_pretrained(folder)
    return folder
