"""The reference world for pipelines that draw it: `reward` and `things` for `--metric`, `subjects` for `--subjects`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..devices import mixed_precision
from .backbone import pad_ids
from .captions import tokenize
from .onnx_import import load_onnx_reward
from .reward import Reward
from .scenes import SIZE
from .sentences import read_caption
from .source import from_bytes
from .vocabulary import PICTOGRAMS, PLURALS

FOLDER = Path("reference")
NAMES = {word for name in PICTOGRAMS for word in (name, PLURALS[name])}


def reward(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """How well each image fits its caption, in [0, 1], by the reward in the folder `reference` of the working directory.

    Raises FileNotFoundError without that folder, and ValueError for a prompt that is no caption of the reference world.
    """
    return rewards(_exported(), images, prompts)


@torch.no_grad()
def things(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """How far the requested things are there in the requested number, in [0, 1]: the first factor of the reward alone.

    Background, relation, further things and how well they are drawn do not count. Raises as `reward` does.
    """
    model = _exported()
    pixels, ids = _inputs(images, prompts)
    with mixed_precision():
        return model.quality_terms(model.reader(pixels), ids).things.float().tolist()


def subjects(prompts: Sequence[str]) -> list[list[str]]:
    """The words of each caption that name a pictogram, for `collect --subjects diffusion_probe.reference.metric:subjects`."""
    return [[word for word in re.findall(r"\w+", prompt.lower()) if word in NAMES] for prompt in prompts]


@torch.no_grad()
def rewards(model: Reward, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    """How well each image fits its caption, in [0, 1]. Images of another size are scaled to 64x64."""
    pixels, ids = _inputs(images, prompts)
    with mixed_precision():
        return model(pixels, ids).float().tolist()


def _inputs(images: Sequence[Image.Image], prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The reward's inputs: images float32 [n, 3, 64, 64] in [-1, 1], and padded token ids of the plain wordings."""
    ids = pad_ids([tokenize(read_caption(prompt).text()) for prompt in prompts])
    pixels = np.stack([np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)) for image in images])
    return from_bytes(torch.from_numpy(pixels).permute(0, 3, 1, 2)), ids


@cache
def _exported() -> Reward:
    return load_onnx_reward(FOLDER)
