"""The denoisers of the supported backbones at full size, and the arguments of one call of each.

They are built on PyTorch's meta device, where tensors have shapes but no values: nothing is downloaded, allocated or computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch import Tensor, nn

CAPTION = 24  # tokens of a caption of about twenty words, including its end token
CLIP_LONGEST, T5_LONGEST, FLUX_LONGEST, QWEN_LONGEST = 76, 256, 512, 512  # where the pipelines truncate, without the begin token


@dataclass(frozen=True)
class FullSizeBackbone:
    """A denoiser with the sizes of its model card. Build it inside `with torch.device("meta")`."""

    pixels: int  # per side of the image
    rows: int  # of the denoiser's batch per image, with the usual guidance
    tokens: tuple[int, int]  # that a probe receives for a usual caption, and for the longest
    denoiser: Callable[[], nn.Module]
    call: Callable[[], dict[str, Any]]  # the arguments of a call with one row


def _sd15() -> nn.Module:
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def _sdxl() -> nn.Module:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def _sd35_medium() -> nn.Module:
    return SD3Transformer2DModel(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        num_layers=24,
        attention_head_dim=64,
        num_attention_heads=24,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        out_channels=16,
        pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)),
        qk_norm="rms_norm",
    )


def _unet_call(side: int, width: int, **more: Callable[[], Any]) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "sample": torch.zeros(1, 4, side, side),
        "timestep": torch.zeros(1),
        "encoder_hidden_states": torch.zeros(1, 77, width),
        **{name: make() for name, make in more.items()},
    }


def _added() -> dict[str, Tensor]:
    return {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}


def _sd3_call() -> dict[str, Any]:
    return {
        "hidden_states": torch.zeros(1, 16, 128, 128),
        "timestep": torch.zeros(1),
        "encoder_hidden_states": torch.zeros(1, 77 + T5_LONGEST, 4096),
        "pooled_projections": torch.zeros(1, 2048),
    }


def _flux_call() -> dict[str, Any]:
    return {
        "hidden_states": torch.zeros(1, 64 * 64, 64),
        "timestep": torch.zeros(1),
        "guidance": torch.zeros(1),
        "encoder_hidden_states": torch.zeros(1, FLUX_LONGEST, 4096),
        "pooled_projections": torch.zeros(1, 768),
        "img_ids": FluxPipeline._prepare_latent_image_ids(1, 64, 64, torch.get_default_device(), torch.float32),
        "txt_ids": torch.zeros(FLUX_LONGEST, 3),
    }


def _qwen_call() -> dict[str, Any]:
    """The text is the prompt and four tokens of the chat template after it."""
    return {
        "hidden_states": torch.zeros(1, 64 * 64, 64),
        "timestep": torch.zeros(1),
        "encoder_hidden_states": torch.zeros(1, CAPTION + 4, 3584),
        "img_shapes": [[(1, 64, 64)]],
    }


FULL_SIZE = {
    "sd15": FullSizeBackbone(512, 2, (CAPTION, CLIP_LONGEST), _sd15, _unet_call(64, 768)),
    "sdxl": FullSizeBackbone(1024, 2, (CAPTION, CLIP_LONGEST), _sdxl, _unet_call(128, 2048, added_cond_kwargs=_added)),
    # CLIP and T5 both encode the prompt, and a probe receives the tokens of both.
    "sd3": FullSizeBackbone(1024, 2, (2 * CAPTION, CLIP_LONGEST + T5_LONGEST), _sd35_medium, _sd3_call),
    "flux": FullSizeBackbone(1024, 1, (CAPTION, FLUX_LONGEST), lambda: FluxTransformer2DModel(guidance_embeds=True), _flux_call),
    "qwen-image": FullSizeBackbone(1024, 2, (CAPTION, QWEN_LONGEST), QwenImageTransformer2DModel, _qwen_call),
}
