"""The reward of the reference world as a metric of pipelines: `--metric diffusion_probe.reference.metric:reward`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..devices import mixed_precision
from .backbone import pad_ids
from .captions import tokenize
from .onnx_import import load_onnx_reward
from .reward import Reward
from .scenes import SIZE
from .sentences import read_caption
from .source import from_bytes

FOLDER = Path("reference")


def reward(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """How well each image fits its caption, in [0, 1], by the reward in the folder `reference` of the working directory.

    Raises FileNotFoundError without that folder, and ValueError for a prompt that is no caption of the reference world.
    """
    return rewards(_exported(), images, prompts)


@torch.no_grad()
def rewards(model: Reward, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """How well each image fits its caption, in [0, 1]. Images of another size are scaled to 64x64."""
    ids = pad_ids([tokenize(read_caption(prompt).text()) for prompt in prompts])
    pixels = np.stack([np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)) for image in images])
    with mixed_precision():
        return model(from_bytes(torch.from_numpy(pixels).permute(0, 3, 1, 2)), ids).float().tolist()


@cache
def _exported() -> Reward:
    return load_onnx_reward(FOLDER)
