"""The supported backbone families: which attention modules see text, which queries are the image and which keys are the text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from torch import nn

from .errors import CaptureError
from .reduction import Layout
from .tokens import clip_and_t5_tokens, clip_tokens, qwen_tokens, t5_tokens

DEFAULT_LAYERS = 10


Arguments = Mapping[str, Any]
"""The arguments of one denoiser call, by name."""


@dataclass(frozen=True)
class Family:
    """What capture needs to know about one kind of backbone."""

    name: str
    denoiser: str  # the pipeline's attribute
    layers: re.Pattern[str]  # full names of attention modules in which image positions attend to text
    sample: str  # the denoiser's argument that holds the latents
    layout: Callable[[Any, Arguments, tuple[int, int]], Layout]  # of denoiser, its arguments, (queries, keys) of the call
    tokens: Callable[[Any, Mapping[str, Any]], np.ndarray]  # of pipeline, its arguments: bool [prompts, text positions]
    joined_guidance: bool  # guidance is one call: unconditional rows, then conditional rows
    timestep_scale: float = 1.0  # the denoiser gets the scheduler's timestep divided by this


def _unet_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """All keys are text. Each level of a UNet halves the height and width of the latents, rounding up."""
    height, width = arguments["sample"].shape[-2:]
    for level in range(len(denoiser.config.block_out_channels)):
        size = (math.ceil(height / 2**level), math.ceil(width / 2**level))
        if size[0] * size[1] == lengths[0]:
            return Layout(slice(0, lengths[0]), 0, size)
    raise CaptureError(f"{lengths[0]} image positions match no level of a UNet on {height}x{width} latents")


def _flux_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """Text first, then image, in double and in single blocks."""
    indices = arguments["img_ids"][..., 1:].reshape(-1, 2)
    size = tuple(int(last) + 1 for last in indices.amax(dim=0))
    return _text_first(arguments, lengths, size)


def _qwen_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """Text first, then image."""
    shape = arguments["img_shapes"][0]
    _, height, width = shape[0] if isinstance(shape, list) else shape
    return _text_first(arguments, lengths, (height, width))


def _text_first(arguments: Arguments, lengths: tuple[int, int], size: tuple[int, int]) -> Layout:
    text = arguments["encoder_hidden_states"].shape[1]
    return _checked(Layout(slice(text, text + size[0] * size[1]), 0, size), lengths)


def _sd3_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """Image first, then text."""
    height, width = (side // denoiser.config.patch_size for side in arguments["hidden_states"].shape[-2:])
    return _checked(Layout(slice(0, height * width), height * width, (height, width)), lengths)


def _checked(layout: Layout, lengths: tuple[int, int]) -> Layout:
    if layout.image.stop > lengths[0] or layout.text_start >= lengths[1]:
        raise CaptureError(f"attention over {lengths[0]} queries and {lengths[1]} keys does not fit an image of {layout.size}")
    return layout


_CROSS = re.compile(r"(down_blocks|mid_block|up_blocks)\..*\.attn2")
_UNET = Family("unet", "unet", _CROSS, "sample", _unet_layout, clip_tokens, joined_guidance=True)
_FLUX = re.compile(r"(single_)?transformer_blocks\.\d+\.attn")
# `attn2` of SD3.5 medium is self-attention of the image; only `attn` sees text.
_JOINT = re.compile(r"transformer_blocks\.\d+\.attn")

FAMILIES = {
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionXLPipeline": _UNET,
    "StableDiffusion3Pipeline": Family(
        "sd3", "transformer", _JOINT, "hidden_states", _sd3_layout, clip_and_t5_tokens, joined_guidance=True
    ),
    "FluxPipeline": Family(
        "flux",
        "transformer",
        _FLUX,
        "hidden_states",
        _flux_layout,
        t5_tokens,
        joined_guidance=False,
        timestep_scale=1000,
    ),
    "QwenImagePipeline": Family(
        "qwen-image",
        "transformer",
        _JOINT,
        "hidden_states",
        _qwen_layout,
        qwen_tokens,
        joined_guidance=False,
        timestep_scale=1000,
    ),
}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline or of its base class. Raises CaptureError for a pipeline that is not supported."""
    for kind in type(pipe).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(f"{type(pipe).__name__} is not supported: expected one of {', '.join(FAMILIES)}")


def unwrapped(denoiser: nn.Module) -> nn.Module:
    """The denoiser inside of the wrappers of `torch.compile` and `peft.get_peft_model`."""
    while True:
        if hasattr(denoiser, "_orig_mod"):
            denoiser = denoiser._orig_mod
        elif hasattr(denoiser, "get_base_model"):
            denoiser = denoiser.get_base_model()
        else:
            return denoiser


def text_layers(pipe: Any) -> dict[str, nn.Module]:
    """The attention modules of a pipeline's denoiser in which image positions attend to text, by full name, in order."""
    family = family_of(pipe)
    denoiser = unwrapped(getattr(pipe, family.denoiser))
    names = ((name.replace("_orig_mod.", ""), module) for name, module in denoiser.named_modules())
    return {name: module for name, module in names if family.layers.fullmatch(name)}


def choose_layers(pipe: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Full names of attention modules, in the backbone's order.

    `layers`: names, or patterns with `*`; None: ten, spread evenly over the depth. Raises CaptureError for one that matches none.
    """
    present = list(text_layers(pipe))
    if layers is None:
        count = min(DEFAULT_LAYERS, len(present))
        return tuple(present[(2 * index + 1) * len(present) // (2 * count)] for index in range(count))
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise CaptureError(f"there is no layer {pattern!r}: expected some of {', '.join(present)}")
    return tuple(name for name in present if any(fnmatchcase(name, pattern) for pattern in layers))
