"""What the tests of capture and guard share: tiny pipelines, and calls of them. Skipped where diffusers is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch

from diffusion_probe.tiny import TINY, tiny_pipeline

torch.set_num_threads(1)


class Backbone:
    """A tiny pipeline and how to call it: 32 x 48 pixels, 4 steps, guided."""

    def __init__(self, name: str):
        self.name = name
        self.pipe = tiny_pipeline(name)

    @property
    def denoiser(self) -> Any:
        """Its UNet or transformer."""
        return self.pipe.unet if self.name in ("sd15", "sdxl") else self.pipe.transformer

    def arguments(self, prompts: str | list[str] = "a cat on the banana", images: int = 2, seed: int = 0, **changes: Any) -> dict:
        """Arguments of one call."""
        arguments: dict[str, Any] = {
            "prompt": prompts,
            "num_images_per_prompt": images,
            "num_inference_steps": 4,
            "height": 32,
            "width": 48,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        }
        if self.name in ("sd3", "flux"):
            arguments["max_sequence_length"] = 24
        if self.name == "qwen-image":
            arguments |= {"negative_prompt": prompts, "true_cfg_scale": 3.0}
        return arguments | changes

    def __call__(self, **changes: Any) -> np.ndarray:
        """The images, float32 [images, height, width, 3]."""
        return self.pipe(**self.arguments(**changes)).images


@pytest.fixture(params=list(TINY))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Each backbone in turn, new for every test."""
    return Backbone(request.param)


@pytest.fixture
def make_backbone() -> type[Backbone]:
    """A backbone by its name."""
    return Backbone
