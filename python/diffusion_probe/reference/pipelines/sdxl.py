"""Stable Diffusion XL: a UNet with cross-attention at 8x8, two CLIP text encoders, guidance with an embedding of zeros."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor

from ..scenes import SIZE
from .autoencoder import autoencoder
from .recipe import LATENT_SIDE, Batch, Recipe, Sizes, zero
from .text_encoders import HEAD, clip_encoder
from .tokenizers import clip_tokenizer

TEXT_LENGTH = 24  # tokens of CLIP
CHANNELS = 4  # of latents: diffusers 0.42 decodes latents with a mean and a standard deviation only if there are four
SIZE_CHANNELS = 16  # of the embedding of each of six image sizes
GUIDANCE = 3.0
# Zero signal at the last timestep, velocity prediction and trailing timesteps (Lin et al. 2024, arXiv 2305.08891). Beta ends
# lower than in the large model, because 16x16 latents need less noise to hide a scene than 128x128 do.
NOISE = {
    "beta_start": 1e-6,
    "beta_end": 2e-4,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def build(sizes: Sizes) -> StableDiffusionXLPipeline:
    """The pipeline with random weights."""
    tokenizer, tokenizer_2 = clip_tokenizer(TEXT_LENGTH), clip_tokenizer(TEXT_LENGTH, pad="!")
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(sizes.denoiser // 2, sizes.denoiser),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        norm_num_groups=8,
        transformer_layers_per_block=(1, sizes.blocks),
        attention_head_dim=(1, sizes.denoiser // HEAD),  # diffusers calls the number of heads so
        cross_attention_dim=sizes.text // 2 + sizes.text,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZE_CHANNELS,
        projection_class_embeddings_input_dim=6 * SIZE_CHANNELS + sizes.text,
    )
    zero(unet.conv_out)
    return StableDiffusionXLPipeline(
        vae=autoencoder(AutoencoderKL, sizes.autoencoder, CHANNELS),
        text_encoder=clip_encoder(tokenizer, sizes.text // 2),
        text_encoder_2=clip_encoder(tokenizer_2, sizes.text, projected=True),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**NOISE),
        add_watermarker=False,
    )


def loss(pipe: StableDiffusionXLPipeline, batch: Batch) -> Tensor:
    """The mean square error of the velocity (Salimans and Ho 2022)."""
    text, _, pooled, _ = pipe.encode_prompt(list(batch.captions), do_classifier_free_guidance=False)
    shown = (~batch.dropped).float()
    signal_share = pipe.scheduler.alphas_cumprod  # float32 [timesteps]
    timesteps = (batch.times * len(signal_share)).long().clamp(max=len(signal_share) - 1)
    squared = signal_share[timesteps][:, None, None, None]
    signal, noise = squared.sqrt(), (1 - squared).sqrt()
    sizes = torch.tensor([SIZE, SIZE, 0, 0, SIZE, SIZE]).float()  # original size, crop and target size
    predicted = pipe.unet(
        signal * batch.latents + noise * batch.noise,
        timesteps,
        encoder_hidden_states=text * shown[:, None, None],
        added_cond_kwargs={"text_embeds": pooled * shown[:, None], "time_ids": sizes.expand(len(text), -1)},
    ).sample
    return F.mse_loss(predicted, signal * batch.noise - noise * batch.latents)


SDXL = Recipe(
    name="sdxl",
    sizes=Sizes(denoiser=96, blocks=1, text=128, autoencoder=16),
    build=build,
    loss=loss,
    trained=("unet", "text_encoder", "text_encoder_2"),
    steps=6000,
    sentences=0.0,
    muon=False,
    call={"guidance_scale": GUIDANCE},
)
