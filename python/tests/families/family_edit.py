"""Cases of backbones that also edit pictures: FLUX.2 and Qwen-Image-Edit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffusers
import PIL.Image
from diffusers import FlowMatchEulerDiscreteScheduler

from diffusion_probe.tiny import pipelines as tiny
from diffusion_probe.tiny.encoders import WIDTH

from ..capture import slow_reference as reference
from . import tiny_text
from .family_case import (
    FLOW,
    GUIDED,
    PROMPTS,
    SIZE,
    T5,
    Case,
    arguments_of,
    patches,
    words,
)


def _flux2_transformer(guidance_embeds: bool) -> Any:
    return diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        axes_dims_rope=(4, 4, 4, 4),
        timestep_guidance_channels=16,
        guidance_embeds=guidance_embeds,
    ).eval()


def _flux2_vae() -> Any:
    return diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    ).eval()


def flux2_cases() -> Iterator[Case]:
    """FLUX.2: the text is a whole chat; pictures to edit follow the image."""

    def make(name: str) -> Any:
        pipe = getattr(diffusers, name)(
            FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            _flux2_vae(),
            tiny_text.llama(),
            tiny_text.templated_tokenizer(),
            _flux2_transformer(guidance_embeds=name == "Flux2Pipeline"),
        )
        pipe.system_message = "two photo"
        return pipe

    call = FLOW | SIZE | {"text_encoder_out_layers": (1, 2, 3)}
    embedded = {"classifier_free": None, "embedded": 5.0}
    picture = {"image": PIL.Image.new("RGB", (96, 64), (200, 100, 0))}
    for name, own, start, calls, guidance, label in (
        ("Flux2Pipeline", {}, 10, 1, embedded, ""),
        ("Flux2Pipeline", picture, 10, 1, embedded, " with a picture"),
        ("Flux2KleinPipeline", {}, 3, 2, GUIDED, ""),
        ("Flux2KleinInpaintPipeline", arguments_of("Inpaint"), 3, 2, GUIDED, ""),
    ):
        yield Case(
            name,
            lambda name=name: make(name),
            call | own,
            reference.flux2,
            words(start),
            patches,
            (T5, T5),
            calls=calls,
            guidance=guidance,
            label=label,
        )


def qwen_edit_cases() -> Iterator[Case]:
    """Qwen-Image-Edit: a picture's tokens before the prompt's, and its latents after those of the image."""

    def make(name: str) -> Any:
        base = tiny.qwen_image()
        processor = tiny_text.PictureProcessor(base.tokenizer)
        pipe = getattr(diffusers, name)(base.scheduler, base.vae, base.text_encoder, base.tokenizer, processor, base.transformer)
        head = pipe.prompt_template_encode.split("<|vision_start|>")[0].split("{}")[0]
        pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(head)["input_ids"])
        return pipe

    call = {"num_inference_steps": 4, "true_cfg_scale": 5.0}
    pil = {"image": PIL.Image.new("RGB", (48, 32), (200, 100, 0))}
    negative, one_negative = {"negative_prompt": ["dog", "the key"]}, {"negative_prompt": "dog"}
    # The pipelines would encode the picture at about a megapixel.
    for name, own, module, small, before, prompts in (
        ("QwenImageEditPipeline", SIZE | negative | pil, "edit", (48, 32, None), 2, PROMPTS),
        ("QwenImageEditInpaintPipeline", arguments_of("Inpaint") | negative | pil, "edit_inpaint", (48, 32, None), 2, PROMPTS),
        (
            "QwenImageEditPlusPipeline",
            SIZE | one_negative | pil,
            "edit_plus",
            (48, 32),
            5,
            PROMPTS[:1],
        ),  # one prompt is its limit
    ):
        function = f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{module}.calculate_dimensions"
        yield Case(
            name,
            lambda name=name: make(name),
            call | own,
            reference.qwen,
            words(before + tiny_text.PICTURE_TOKENS)[: len(prompts)],
            lambda layer: (4, 6),
            calls=2,
            guidance=GUIDED,
            prompts=prompts,
            patches={function: lambda area, ratio, small=small: small},
        )


EDIT = [*flux2_cases(), *qwen_edit_cases()]
