"""What differs between the backbones: where their attention is, which of its keys are text, and how their maps lie.

Supported are the text-to-image pipelines named in `FAMILIES`; every other is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from .errors import CaptureError
from .tokens import clip_and_t5_tokens, clip_tokens, qwen_tokens, t5_tokens


@dataclass(frozen=True)
class Layout:
    """How the queries and keys of one attention call lie."""

    image: slice  # the queries that are places of the image
    text_start: int  # the key that is the first text position
    size: tuple[int, int]  # height and width of the image's places


Arguments = Mapping[str, Any]
"""The arguments of one denoiser call, by name."""


@dataclass(frozen=True)
class Family:
    """One kind of backbone."""

    denoiser: str  # the pipeline's attribute
    layers: re.Pattern[str]  # full names of attention modules in which image places look at text
    sample: str  # the denoiser's argument that holds the latents
    layout: Callable[[Any, Arguments, tuple[int, int]], Layout]  # denoiser, its arguments, (queries, keys) of the call
    tokens: Callable[[Any, Mapping[str, Any]], np.ndarray]  # pipeline, its arguments: bool [prompts, text positions]
    joined_guidance: bool  # unconditional and conditional rows come in one call, in this order


def _unet_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """Keys are text alone. Every level of a UNet halves the latents' sides, rounding up."""
    height, width = arguments["sample"].shape[-2:]
    for level in range(len(denoiser.config.block_out_channels)):
        size = (math.ceil(height / 2**level), math.ceil(width / 2**level))
        if size[0] * size[1] == lengths[0]:
            return Layout(slice(0, lengths[0]), 0, size)
    raise CaptureError(f"{lengths[0]} places fit no level of a UNet on {height}x{width} latents")


def _flux_layout(denoiser: Any, arguments: Arguments, lengths: tuple[int, int]) -> Layout:
    """Text first, then image, in double and single blocks alike."""
    rows = arguments["img_ids"][..., 1:].reshape(-1, 2)
    size = tuple(int(side) + 1 for side in rows.amax(dim=0))
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
_UNET = Family("unet", _CROSS, "sample", _unet_layout, clip_tokens, joined_guidance=True)
_FLUX = re.compile(r"(single_)?transformer_blocks\.\d+\.attn")
# In SD3.5 medium `attn2` is self-attention of the image: only `attn` sees text.
_JOINT = re.compile(r"transformer_blocks\.\d+\.attn")

FAMILIES = {
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionXLPipeline": _UNET,
    "StableDiffusion3Pipeline": Family(
        "transformer", _JOINT, "hidden_states", _sd3_layout, clip_and_t5_tokens, joined_guidance=True
    ),
    "FluxPipeline": Family("transformer", _FLUX, "hidden_states", _flux_layout, t5_tokens, joined_guidance=False),
    "QwenImagePipeline": Family("transformer", _JOINT, "hidden_states", _qwen_layout, qwen_tokens, joined_guidance=False),
}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline, or of what it inherits from. Raises CaptureError for one that is not supported."""
    for kind in type(pipe).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(f"{type(pipe).__name__} is not supported: expected one of {', '.join(FAMILIES)}")


def uncompiled(denoiser: nn.Module) -> nn.Module:
    """The module inside what `torch.compile` returned."""
    return getattr(denoiser, "_orig_mod", denoiser)


def text_layers(pipe: Any) -> dict[str, nn.Module]:
    """All attention modules of a pipeline's denoiser in which image places look at text, in order."""
    family = family_of(pipe)
    denoiser = uncompiled(getattr(pipe, family.denoiser))
    names = ((name.replace("_orig_mod.", ""), module) for name, module in denoiser.named_modules())
    return {name: module for name, module in names if family.layers.fullmatch(name)}
