"""Cases of the other backbones with cross-attention: PixArt, Sana, Kolors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffusion_probe.tiny import pipelines as tiny
from diffusion_probe.tiny.encoders import WIDTH, t5_encoder
from diffusion_probe.tiny.tokenizers import t5_tokenizer

from ..capture import slow_reference as reference
from . import tiny_text
from .family_case import (
    FLOW,
    GUIDED,
    ONE_WORD_LESS,
    SIZE,
    T5,
    Case,
    arguments_of,
    filled,
    made_from,
    patches,
    picture,
    shifted,
    words,
)


def pixart_cases() -> Iterator[Case]:
    """PixArt-Alpha and -Sigma."""

    def make() -> Any:
        transformer = diffusers.PixArtTransformer2DModel(
            sample_size=16,
            num_layers=2,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=WIDTH,
            caption_channels=WIDTH,
            use_additional_conditions=False,
        )
        return diffusers.PixArtSigmaPipeline(
            t5_tokenizer(T5), t5_encoder(), tiny.tiny_vae(), transformer.eval(), diffusers.DDIMScheduler(clip_sample=False)
        )

    for name in ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "PixArtSigmaPAGPipeline"):
        call = {**FLOW, **SIZE, "use_resolution_binning": False, "clean_caption": False}
        yield Case(name, made_from(make, name), call, reference.cross, words(0), patches, part=1, guidance=GUIDED)


def sana_cases() -> Iterator[Case]:
    """Sana."""

    def make() -> Any:
        transformer = diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=4,
            attention_head_dim=8,
            num_cross_attention_heads=4,
            cross_attention_head_dim=8,
            cross_attention_dim=WIDTH,
            caption_channels=WIDTH,
            sample_size=16,
        )
        blocks, channels = ("ResBlock", "EfficientViTBlock"), (8, 8)
        vae = diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=blocks,
            decoder_block_types=blocks,
            encoder_block_out_channels=channels,
            decoder_block_out_channels=channels,
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
        )
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        return diffusers.SanaPipeline(tiny_text.gemma_tokenizer(), tiny_text.gemma(), vae.eval(), transformer.eval(), scheduler)

    call = {**FLOW, "height": 32, "width": 64, "use_resolution_binning": False}
    # The begin token and five of the instruction, of which the pipeline keeps the begin token and the last.
    instructed = {"complex_human_instruction": ["two dog", "photo: "]}
    for name, own, start, label in (
        ("SanaPipeline", instructed, 2, ""),
        ("SanaPipeline", {"complex_human_instruction": None}, 1, " without instruction"),
        ("SanaPAGPipeline", instructed, 2, ""),
        ("SanaControlNetPipeline", instructed | {"control_image": picture(width=64)}, 2, ""),
    ):
        text = shifted(ONE_WORD_LESS, start)
        made = made_from(make, name, controlnet=_sana_controlnet)
        yield Case(name, made, call | own, reference.cross, text, lambda layer: (16, 32), part=1, guidance=GUIDED, label=label)


def _sana_controlnet(pipe: Any) -> Any:
    wanted = inspect.signature(diffusers.SanaControlNetModel.__init__).parameters
    config = {name: value for name, value in pipe.transformer.config.items() if name in wanted}
    return filled(diffusers.SanaControlNetModel(**{**config, "num_layers": 1}))


def kolors_cases() -> Iterator[Case]:
    """Kolors: Stable Diffusion XL's UNet with the text of ChatGLM, padded on the left."""

    def make() -> Any:
        base = tiny.sdxl()
        config = {"encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "text_proj", "_use_default_values": []}
        unet = diffusers.UNet2DConditionModel.from_config({**base.unet.config, **config}).eval()
        torch.nn.init.normal_(unet.encoder_hid_proj.weight, std=0.3)  # by default all images would be nearly the same
        kind = tiny_text.kolors_class("KolorsPipeline")
        return kind(base.vae, tiny_text.glm(), tiny_text.glm_tokenizer(), unet, base.scheduler)

    def size(layer: str) -> tuple[int, int]:
        return (8, 12) if layer.startswith(("mid", "down_blocks.1", "up_blocks.0")) else (16, 24)

    # The pipelines ignore `max_sequence_length`.
    text = [list(range(256 - 5, 256)), list(range(256 - 2, 256))]
    for kind in ("", "Img2Img", "PAG"):
        name = f"Kolors{kind}Pipeline"
        call = FLOW | arguments_of(kind)
        made = made_from(make, name, kind=tiny_text.kolors_class(name))
        yield Case(name, made, call, reference.cross, text, size, part=1, guidance=GUIDED)


CROSS = [*pixart_cases(), *sana_cases(), *kolors_cases()]
