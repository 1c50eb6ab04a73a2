"""A tiny pipeline together with the arguments of a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .pipelines import tiny_pipeline

STEPS = 4
HEIGHT, WIDTH = 32, 48
TEXT_LENGTH = 24
TRUE_GUIDANCE = 3.0


class TinyBackbone:
    """The tiny pipeline `name`, one of `TINY`, and arguments for a few small guided images in a few steps."""

    def __init__(self, name: str):
        self.name = name
        self.pipe = tiny_pipeline(name)

    @property
    def denoiser(self) -> Any:
        """The pipeline's UNet or transformer."""
        return self.pipe.unet if self.name in ("sd15", "sdxl") else self.pipe.transformer

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of a call that decide how its images are drawn, beside the number of steps."""
        settings: dict[str, Any] = {"height": HEIGHT, "width": WIDTH}
        if self.name in ("sd3", "flux"):
            settings["max_sequence_length"] = TEXT_LENGTH
        if self.name == "qwen-image":
            settings |= {"negative_prompt": "a photo", "true_cfg_scale": TRUE_GUIDANCE}
        return settings

    def arguments(self, prompts: str | list[str] = "a cat on the banana", images: int = 2, seed: int = 0, **changes: Any) -> dict:
        """Arguments of one call; `changes` are added to them or replace them."""
        arguments: dict[str, Any] = {
            **self.settings,
            "prompt": prompts,
            "num_images_per_prompt": images,
            "num_inference_steps": STEPS,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        }
        if "negative_prompt" in arguments:
            arguments["negative_prompt"] = prompts  # as many as there are prompts
        return arguments | changes

    def __call__(self, **changes: Any) -> np.ndarray:
        """Call the pipeline: images, float32 [images, height, width, 3] in [0, 1]."""
        return self.pipe(**self.arguments(**changes)).images
