"""The supported backbones: one row for each family, plain data. tests/capture/test_families.py tries each pipeline."""

from __future__ import annotations

import math
from typing import Any

from . import prompts
from .family import ALL, CALLS, FIRST, LAST, NONE, ROWS_AFTER, ROWS_BEFORE, Family

_UNET = r"(down_blocks|mid_block|up_blocks)\..*\.attn2"
_JOINT = r"transformer_blocks\.\d+\.attn"  # `attn2` of SD3.5 medium is self-attention of the image
_JOINT_AND_SINGLE = r"(single_)?transformer_blocks\.\d+\.attn"
_CROSS = r"transformer_blocks\.\d+\.attn2"

_LATENTS: dict[str, Any] = {"denoiser": "unet", "sample": "sample", "patch": 1}
_IDS: dict[str, Any] = {"size": "img_ids", "patch": 2, "timestep_scale": 1000}
_SHAPES: dict[str, Any] = {"size": "img_shapes", "patch": 2, "timestep_scale": 1000, "scale": "true_cfg_scale"}
_REVERSED: dict[str, Any] = {"timestep_scale": 1000, "timestep_reversed": True}

_FROM_IMAGE = ("Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint")
_PAG = ("PAG", "PAGImg2Img", "PAGInpaint", "ControlNetPAG")


def _pipelines(base: str, *kinds: str) -> tuple[str, ...]:
    """The class that draws from text alone, and others of the same backbone."""
    return tuple(f"{base}{kind}Pipeline" for kind in ("", *kinds))


_UNETS = (
    *_pipelines("StableDiffusion", *_FROM_IMAGE, *_PAG, "ControlNetPAGInpaint"),
    *_pipelines("StableDiffusionXL", *_FROM_IMAGE, *_PAG, "ControlNetPAGImg2Img"),
)
_SD3S = _pipelines("StableDiffusion3", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpainting", "PAG", "PAGImg2Img")
_FLUXES = _pipelines("Flux", *_FROM_IMAGE, "Control", "ControlImg2Img", "ControlInpaint", "Fill", "Kontext", "KontextInpaint")
_QWENS = _pipelines("QwenImage", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpaint")
_PIXARTS = ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "PixArtSigmaPAGPipeline")
_HIDREAM = (prompts.HIDREAM_T5, prompts.HIDREAM_LLAMA, prompts.HIDREAM_LLAMA)  # Llama's last layer, and the block's own


def _padded_to_32(denoiser: Any, height: int, width: int) -> int:
    return math.ceil(height * width / 32) * 32


def _padded_unless_square(denoiser: Any, height: int, width: int) -> int:
    return height * width if height == width else denoiser.max_seq


# name, pipelines, layers, where the text stands, its tokens, guidance, and what is not as usual
TABLE = (
    Family("unet", _UNETS, _UNET, ALL, (prompts.CLIP,), ROWS_BEFORE, **_LATENTS),
    Family("sd3", _SD3S, _JOINT, LAST, (prompts.CLIP, prompts.T5_THIRD), ROWS_BEFORE),
    Family("flux", _FLUXES, _JOINT_AND_SINGLE, FIRST, (prompts.T5_SECOND,), CALLS, scale="true_cfg_scale", **_IDS),
    Family("qwen-image", _QWENS, _JOINT, FIRST, (prompts.QWEN,), CALLS, **_SHAPES),
    Family(
        "qwen-image-edit",
        _pipelines("QwenImageEdit", "Inpaint", "Plus"),
        _JOINT,
        FIRST,
        (prompts.QWEN_EDIT,),
        CALLS,
        text_ends=True,
        **_SHAPES,
    ),
    Family("flux2", _pipelines("Flux2"), _JOINT_AND_SINGLE, FIRST, (prompts.FLUX2,), NONE, **_IDS),
    Family("flux2-klein", _pipelines("Flux2Klein", "Inpaint"), _JOINT_AND_SINGLE, FIRST, (prompts.FLUX2_KLEIN,), CALLS, **_IDS),
    Family("chroma", _pipelines("Chroma", "Img2Img"), _JOINT_AND_SINGLE, FIRST, (prompts.T5,), CALLS, **_IDS),
    Family(
        "z-image",
        _pipelines("ZImage", "Img2Img", "Inpaint"),
        r"layers\.\d+\.attention",
        LAST,
        (prompts.Z_IMAGE,),
        ROWS_AFTER,
        sample="x",
        patch=2,
        image_end=_padded_to_32,
        timestep="t",
        **_REVERSED,
    ),
    Family(
        "lumina2",
        _pipelines("Lumina2"),
        r"layers\.\d+\.attn",
        FIRST,
        (prompts.LUMINA2,),
        CALLS,
        text_mask="encoder_attention_mask",
        **_REVERSED,
    ),
    Family(
        "auraflow",
        _pipelines("AuraFlow"),
        r"(joint|single)_transformer_blocks\.\d+\.attn",
        FIRST,
        (prompts.T5,),
        ROWS_BEFORE,
        learned=8,
        timestep_scale=1000,
    ),
    Family(
        "hidream",
        _pipelines("HiDreamImage"),
        r"(double|single)_stream_blocks\.\d+\.block\.attn1",
        LAST,
        _HIDREAM,
        ROWS_BEFORE,
        image_end=_padded_unless_square,
        timestep="timesteps",
    ),
    Family("kolors", _pipelines("Kolors", "Img2Img", "PAG"), _UNET, ALL, (prompts.KOLORS,), ROWS_BEFORE, **_LATENTS),
    Family("pixart", _PIXARTS, _CROSS, ALL, (prompts.PIXART,), ROWS_BEFORE),
    Family("sana", _pipelines("Sana", "PAG", "ControlNet"), _CROSS, ALL, (prompts.SANA,), ROWS_BEFORE),
)
