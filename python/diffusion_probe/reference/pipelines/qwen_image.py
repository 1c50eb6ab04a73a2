"""Qwen-Image: a transformer with joint attention at 8x8, a language model and its chat template for the text, rectified flow."""

from __future__ import annotations

from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor

from ..scenes import SIZE
from .autoencoder import autoencoder
from .flux import flow_loss
from .recipe import LATENT_SIDE, SHIFT, Batch, Recipe, Sizes, hidden, zero
from .text_encoders import HEAD, qwen_encoder
from .tokenizers import qwen_tokenizer

TEXT_LENGTH = 128  # tokens of the template and the caption
CHANNELS = 8  # of latents; the transformer reads 2x2 of them as one position
EMPTY = " "  # the caption of guidance, which users of Qwen-Image give as negative prompt
GUIDANCE = 3.0


def build(sizes: Sizes) -> QwenImagePipeline:
    """The pipeline with random weights."""
    tokenizer = qwen_tokenizer(TEXT_LENGTH)
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=4 * CHANNELS,
        out_channels=CHANNELS,
        num_layers=sizes.blocks,
        attention_head_dim=HEAD,
        num_attention_heads=sizes.denoiser // HEAD,
        joint_attention_dim=sizes.text,
        axes_dims_rope=(8, 12, 12),
    )
    for block in transformer.transformer_blocks:
        zero(block.img_mod, block.txt_mod)
    zero(transformer.norm_out.linear, transformer.proj_out)
    return QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder(AutoencoderKLQwenImage, sizes.autoencoder, CHANNELS),
        text_encoder=qwen_encoder(tokenizer, sizes.text),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def loss(pipe: QwenImagePipeline, batch: Batch) -> Tensor:
    """The mean square error of the velocity of rectified flow."""
    text, mask = pipe.encode_prompt(hidden(batch.captions, batch.dropped, EMPTY))
    return flow_loss(
        pipe.transformer,
        batch,
        encoder_hidden_states=text,
        encoder_hidden_states_mask=mask,
        img_shapes=[[(1, LATENT_SIDE // 2, LATENT_SIDE // 2)]] * len(text),
    )


QWEN_IMAGE = Recipe(
    name="qwen",
    sizes=Sizes(denoiser=128, blocks=6, text=128, autoencoder=12),
    build=build,
    loss=loss,
    trained=("transformer", "text_encoder"),
    steps=6000,
    sentences=0.5,
    muon=True,
    call={"height": SIZE, "width": SIZE, "negative_prompt": EMPTY, "true_cfg_scale": GUIDANCE},
)
