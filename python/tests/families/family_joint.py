"""Cases of the other backbones with joint attention: Chroma, AuraFlow, Lumina 2, Z-Image, HiDream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffusion_probe.tiny import pipelines as tiny
from diffusion_probe.tiny.encoders import WIDTH, clip_encoder, t5_encoder
from diffusion_probe.tiny.tokenizers import clip_tokenizer, t5_tokenizer

from ..capture import slow_reference as reference
from . import tiny_text
from .family_case import (
    CLIP,
    FLOW,
    GUIDED,
    SIZE,
    T5,
    Case,
    arguments_of,
    made_from,
    patches,
    shifted,
    words,
)


def chroma_cases() -> Iterator[Case]:
    """Chroma: as FLUX.1, with a text mask and guidance in a second call."""

    def make() -> Any:
        transformer = diffusers.ChromaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=16,
            approximator_hidden_dim=WIDTH,
            approximator_layers=1,
        )
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
        return diffusers.ChromaPipeline(
            scheduler, tiny.tiny_vae(shift_factor=0.06), t5_encoder(), t5_tokenizer(T5), transformer.eval()
        )

    for kind in ("", "Img2Img"):
        name = f"Chroma{kind}Pipeline"
        call = FLOW | arguments_of(kind) | {"negative_prompt": ["dog", "the key"]}
        yield Case(name, made_from(make, name), call, reference.flux, words(0), patches, (T5, T5), calls=2, guidance=GUIDED)


def auraflow_cases() -> Iterator[Case]:
    """AuraFlow: eight learned tokens before the text."""

    def make() -> Any:
        transformer = diffusers.AuraFlowTransformer2DModel(
            sample_size=16,
            num_mmdit_layers=2,
            num_single_dit_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=WIDTH,
            caption_projection_dim=WIDTH,
            pos_embed_max_size=256,
        )
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        return diffusers.AuraFlowPipeline(t5_tokenizer(T5), t5_encoder(), tiny.tiny_vae(), transformer.eval(), scheduler)

    start = (8 + T5, 8 + T5)
    yield Case("AuraFlowPipeline", make, FLOW | SIZE, reference.aura_flow, words(8), patches, start, part=1, guidance=GUIDED)


def lumina_cases() -> Iterator[Case]:
    """Lumina 2: text and image of each row are packed."""

    def make() -> Any:
        transformer = diffusers.Lumina2Transformer2DModel(
            sample_size=16,
            in_channels=4,
            hidden_size=24,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=3,
            num_kv_heads=1,
            multiple_of=2,
            axes_dim_rope=(4, 2, 2),
            axes_lens=(64, 64, 64),
            cap_feat_dim=WIDTH,
        )
        return diffusers.Lumina2Pipeline(
            transformer.eval(), FlowMatchEulerDiscreteScheduler(), tiny.tiny_vae(), tiny_text.gemma(), tiny_text.gemma_tokenizer()
        )

    # Begin, the system prompt and its end are seven tokens. diffusers orders the masks by image and not by prompt: images 2 and 3
    # have the text length of the other prompt, and image 2 loses three words.
    text = [[7, 8, 9, 10, 11], [7, 8, None, None, None], [7, 8], [7, 8]]
    call = FLOW | {"height": 128, "width": 192, "system_prompt": "two photo"}  # its latents are eight times smaller with any VAE
    yield Case("Lumina2Pipeline", make, call, reference.lumina, text, patches, (12, 9, 12, 9), calls=2, guidance=GUIDED)


def z_image_cases() -> Iterator[Case]:
    """Z-Image: image first, both padded to multiples of 32; guidance's rows come last."""

    def make() -> Any:
        transformer = diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[256, 32, 32],
        )
        for token in (transformer.x_pad_token, transformer.cap_pad_token):  # they are not initialised
            torch.nn.init.normal_(token)
        return diffusers.ZImagePipeline(
            FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            tiny.tiny_vae(shift_factor=0.06),
            tiny_text.llama(),
            tiny_text.templated_tokenizer(),
            transformer.eval(),
        )

    for kind in ("", "Img2Img", "Inpaint"):
        name = f"ZImage{kind}Pipeline"
        call = FLOW | arguments_of(kind)
        yield Case(name, made_from(make, name), call, reference.z_image, words(96 + 3), patches, guidance=GUIDED)
    # 40 x 48 pixels are 120 positions, padded to 128.
    call = FLOW | {"height": 40, "width": 48}
    text = words(128 + 3)
    yield Case(
        "ZImagePipeline", make, call, reference.z_image, text, lambda layer: (10, 12), guidance=GUIDED, label=" with padding"
    )


def hidream_cases() -> Iterator[Case]:
    """HiDream: image first, padded where it is not square, then T5 and twice Llama."""

    def make() -> Any:
        transformer = diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_channels=[WIDTH, WIDTH],
            text_emb_dim=2 * WIDTH,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(16, 16),
            llama_layers=[0, 1],
        )
        pipe = diffusers.HiDreamImagePipeline(
            FlowMatchEulerDiscreteScheduler(),
            tiny.tiny_vae(shift_factor=0.06),
            clip_encoder(projected=True),
            clip_tokenizer(CLIP),
            clip_encoder(projected=True),
            clip_tokenizer(CLIP),
            t5_encoder(),
            t5_tokenizer(CLIP),
            tiny_text.llama(),
            tiny_text.llama_tokenizer(),
            transformer.eval(),
        )
        pipe.default_sample_size = 16
        return pipe

    # The pipeline makes the image as large as its default: 24 x 36 pixels.
    call = FLOW | SIZE | {"max_sequence_length": CLIP}
    own = [list(range(6)) + [CLIP + 1 + word for word in range(5)] + [2 * CLIP + 1 + word for word in range(5)]]
    own += [list(range(3)) + [CLIP + 1 + word for word in range(2)] + [2 * CLIP + 1 + word for word in range(2)]]
    yield Case(
        "HiDreamImagePipeline", make, call, reference.hidream, shifted(own, 64), lambda layer: (6, 9), part=1, guidance=GUIDED
    )


JOINT = [*chroma_cases(), *auraflow_cases(), *lumina_cases(), *z_image_cases(), *hidream_cases()]
