"""Checks what is captured from a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..capture import AttentionCapture, CaptureError
from ..families import text_layers
from .comparison import compare
from .recorder import OnCall
from .report import Report

STEPS, AT = 3, 2
IMAGES = 2


def check_pipeline(pipe: Any, call: Mapping[str, Any] | None = None, layers: Sequence[str] | None = None, at: int = AT) -> Report:
    """Draw four times two images in a few steps, and compare the maps of step `at` with the slow reference.

    `call`: further arguments of the pipeline. `layers`: names or patterns; None: those that are captured by default. Raises
    CaptureError for a pipeline that is not supported or whose attention cannot be read.
    """
    given = {"num_inference_steps": STEPS, **(call or {})}
    capture = AttentionCapture(pipe, layers, [at])
    modules = text_layers(pipe)
    size: list[int] = []

    def draw(prompt: str, seed: int, on_call: OnCall) -> np.ndarray:
        run = capture(
            **given,
            prompt=prompt,
            num_images_per_prompt=IMAGES,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
        )
        if run.missing:
            raise CaptureError(f"step {at} was not captured: {run.missing[at]}")
        assert run.conditions is not None
        size[:] = (given.get(side) or run.conditions["call"][side] for side in ("height", "width"))
        step = run.steps[at]
        return step.attention[:, :, : int(step.token_mask[0].sum())]

    encoders = [part for name, part in pipe.components.items() if name.startswith("text_encoder") and isinstance(part, nn.Module)]
    chosen = {name: modules[name] for name in capture.layers}
    return compare(draw, chosen, encoders, lambda: (size[0], size[1]), at, IMAGES)
