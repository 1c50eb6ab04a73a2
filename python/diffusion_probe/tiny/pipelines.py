"""Builds one tiny pipeline per supported backbone."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from .encoders import CLIP_LENGTH, WIDTH, chat_encoder, clip_encoder, t5_encoder
from .tokenizers import PAD, chat_tokenizer, clip_tokenizer, t5_tokenizer

T5_LENGTH = 48
QWEN_LENGTH = 64
UNET = {"block_out_channels": (16, 32), "layers_per_block": 1, "sample_size": 32, "norm_num_groups": 4}
EULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def tiny_pipeline(name: str) -> Any:
    """The pipeline `name`, one of `TINY`, on the CPU and without a progress bar. The same name gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(name.encode()))
        pipe = TINY[name]()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sd15() -> StableDiffusionPipeline:
    """Stable Diffusion 1.5."""
    return StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=clip_encoder(),
        tokenizer=clip_tokenizer(CLIP_LENGTH),
        unet=UNet2DConditionModel(
            **UNET,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
        ).eval(),
        scheduler=EulerDiscreteScheduler(**EULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> StableDiffusionXLPipeline:
    """Stable Diffusion XL: two text encoders, embedded image sizes, several transformer blocks per attention module."""
    return StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=clip_encoder(),
        text_encoder_2=clip_encoder(projected=True),
        tokenizer=clip_tokenizer(CLIP_LENGTH),
        tokenizer_2=clip_tokenizer(CLIP_LENGTH, pad=PAD),
        unet=UNet2DConditionModel(
            **UNET,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=2 * WIDTH,
            attention_head_dim=(2, 4),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ).eval(),
        scheduler=EulerDiscreteScheduler(**EULER),
        add_watermarker=False,
    )


def sd3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3.5 medium: three text encoders, joint attention, a second self-attention in the first block."""
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            num_layers=3,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH,
            out_channels=4,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
            pos_embed_max_size=32,
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_vae(shift_factor=0.06),
        text_encoder=clip_encoder(projected=True),
        tokenizer=clip_tokenizer(CLIP_LENGTH),
        text_encoder_2=clip_encoder(projected=True),
        tokenizer_2=clip_tokenizer(CLIP_LENGTH, pad=PAD),
        text_encoder_3=t5_encoder(width=2 * WIDTH),  # as wide as both CLIP embeddings together
        tokenizer_3=t5_tokenizer(T5_LENGTH),
    )


def flux() -> FluxPipeline:
    """FLUX.1: embedded guidance, double and single blocks, rotary position embedding."""
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny_vae(shift_factor=0.06),
        text_encoder=clip_encoder(),
        tokenizer=clip_tokenizer(CLIP_LENGTH),
        text_encoder_2=t5_encoder(),
        tokenizer_2=t5_tokenizer(T5_LENGTH),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ).eval(),
    )


def qwen_image() -> QwenImagePipeline:
    """Qwen-Image: chat template, text mask, classifier-free guidance by two calls of the transformer."""
    pipe = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=24,
            z_dim=4,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ).eval(),
        text_encoder=chat_encoder(),
        tokenizer=chat_tokenizer(QWEN_LENGTH),
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(8, 4, 4),
        ).eval(),
    )
    head, _ = pipe.prompt_template_encode.split("{}")
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(head)["input_ids"])
    return pipe


def tiny_vae(**config: Any) -> AutoencoderKL:
    """A VAE of four channels that halves height and width."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        **config,
    ).eval()


TINY: dict[str, Callable[[], Any]] = {"sd15": sd15, "sdxl": sdxl, "sd3": sd3, "flux": flux, "qwen-image": qwen_image}
