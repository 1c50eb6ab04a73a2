"""FLUX.1: a transformer with joint attention at 8x8, T5 for the tokens and CLIP for the whole caption, rectified flow."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn

from ..rectified_flow import noise_level
from ..scenes import SIZE
from .autoencoder import autoencoder
from .recipe import LATENT_SIDE, SHIFT, Batch, Recipe, Sizes, hidden, zero
from .text_encoders import HEAD, clip_encoder, t5_encoder
from .tokenizers import clip_tokenizer, t5_tokenizer

TEXT_LENGTH = 32  # tokens of T5 and of CLIP
CHANNELS = 8  # of latents; the transformer reads 2x2 of them as one position
EMPTY = ""  # the caption of guidance
GUIDANCE = 3.0


def build(sizes: Sizes) -> FluxPipeline:
    """The pipeline with random weights. Like FLUX.1-schnell it has no embedding of the guidance."""
    clip, t5 = clip_tokenizer(TEXT_LENGTH), t5_tokenizer(TEXT_LENGTH)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * CHANNELS,
        num_layers=sizes.blocks,
        num_single_layers=2 * sizes.blocks,
        attention_head_dim=HEAD,
        num_attention_heads=sizes.denoiser // HEAD,
        joint_attention_dim=sizes.text,
        pooled_projection_dim=sizes.text // 2,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    for block in transformer.transformer_blocks:
        zero(block.norm1.linear, block.norm1_context.linear)
    zero(*(block.norm.linear for block in transformer.single_transformer_blocks))
    zero(transformer.norm_out.linear, transformer.proj_out)
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder(AutoencoderKL, sizes.autoencoder, CHANNELS),
        text_encoder=clip_encoder(clip, sizes.text // 2),
        tokenizer=clip,
        text_encoder_2=t5_encoder(t5, sizes.text),
        tokenizer_2=t5,
        transformer=transformer,
    )


def loss(pipe: FluxPipeline, batch: Batch) -> Tensor:
    """The mean square error of the velocity of rectified flow."""
    captions = hidden(batch.captions, batch.dropped, EMPTY)
    text, pooled, text_ids = pipe.encode_prompt(captions, max_sequence_length=TEXT_LENGTH)
    side = LATENT_SIDE // 2
    return flow_loss(
        pipe.transformer,
        batch,
        pooled_projections=pooled,
        encoder_hidden_states=text,
        txt_ids=text_ids,
        img_ids=FluxPipeline._prepare_latent_image_ids(len(text), side, side, text.device, text.dtype),
    )


def flow_loss(transformer: nn.Module, batch: Batch, **text: Any) -> Tensor:
    """The loss of a transformer of FLUX or Qwen-Image on the velocity of rectified flow. `text`: its arguments beside latents."""
    level = noise_level(batch.times, SHIFT)
    mix = level[:, None, None, None]
    noisy = packed((1 - mix) * batch.latents + mix * batch.noise)
    predicted = transformer(hidden_states=noisy, timestep=level, return_dict=False, **text)[0]
    return F.mse_loss(predicted, packed(batch.noise - batch.latents))


def packed(latents: Tensor) -> Tensor:
    """Latents [batch, channels, 16, 16] as the transformers of FLUX and Qwen-Image read them: [batch, 64, 4 * channels]."""
    return FluxPipeline._pack_latents(latents, *latents.shape)


FLUX = Recipe(
    name="flux",
    sizes=Sizes(denoiser=128, blocks=3, text=128, autoencoder=16),
    build=build,
    loss=loss,
    trained=("transformer", "text_encoder", "text_encoder_2"),
    steps=7000,
    sentences=0.5,
    muon=True,
    call={
        "height": SIZE,
        "width": SIZE,
        "max_sequence_length": TEXT_LENGTH,
        "negative_prompt": EMPTY,
        "true_cfg_scale": GUIDANCE,
    },
)
