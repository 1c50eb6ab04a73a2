"""Cases of Stable Diffusion 1.5, XL and 3, FLUX.1 and Qwen-Image, and of their variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import diffusers

from diffusion_probe.tiny import pipelines as tiny

from ..capture import slow_reference as reference
from .family_case import CLIP, GUIDED, SIZE, T5, Case, arguments_of, changed, filled, made_from, picture, words


def unet_cases() -> Iterator[Case]:
    """Stable Diffusion 1.5 and XL."""
    kinds = ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint", "PAG", "PAGImg2Img", "PAGInpaint")
    for base, make, own in (
        ("StableDiffusion", tiny.sd15, ("ControlNetPAG", "ControlNetPAGInpaint")),
        ("StableDiffusionXL", tiny.sdxl, ("ControlNetPAG", "ControlNetPAGImg2Img")),
    ):
        for kind in (*kinds, *own):
            name = f"{base}{kind}Pipeline"
            call = {"num_inference_steps": 4, "guidance_scale": 5.0, **arguments_of(kind)}
            if kind in ("ControlNet", "ControlNetPAG"):
                call["image"] = call.pop("control_image")
            if kind.endswith("Img2Img") and "ControlNet" not in kind:
                call = {argument: value for argument, value in call.items() if argument not in SIZE}
            yield Case(
                name,
                made_from(make, name, controlnet=_unet_controlnet),
                call,
                reference.cross,
                words(1),
                _unet_size,
                part=1,
                guidance=GUIDED,
            )


def _unet_controlnet(pipe: Any) -> Any:
    return filled(diffusers.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(16, 32)))


def _unet_size(layer: str) -> tuple[int, int]:
    return (8, 12) if layer.startswith(("mid", "down_blocks.1", "up_blocks.0")) else (16, 24)


def sd3_cases() -> Iterator[Case]:
    """Stable Diffusion 3 and 3.5."""
    for kind in ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpainting", "PAG", "PAGImg2Img"):
        name = f"StableDiffusion3{kind}Pipeline"
        call = {"num_inference_steps": 4, "max_sequence_length": T5, "guidance_scale": 5.0, **arguments_of(kind)}
        changes: dict[str, Any] = {"controlnet": _sd3_controlnet(extra_channels=0)}
        if kind == "ControlNetInpainting":
            call = {argument: value for argument, value in call.items() if argument not in ("image", "mask_image", "strength")}
            call |= {"num_inference_steps": 4, "control_mask": picture(1)}
            changes["controlnet"] = _sd3_controlnet(extra_channels=1)
        if "PAG" in kind:  # it leaves out the norms of SD3.5
            changes["transformer"] = changed("transformer", qk_norm=None)
        if kind == "Inpaint":
            changes |= {
                "transformer": changed("transformer", in_channels=16, out_channels=16),
                "vae": changed("vae", latent_channels=16),
            }
        yield Case(
            name,
            made_from(tiny.sd3, name, **changes),
            call,
            reference.sd3,
            words(96 + 1, 96 + CLIP),  # after the image
            lambda layer: (8, 12),
            part=1,
            guidance=GUIDED,
        )


def _sd3_controlnet(extra_channels: int) -> Callable[[Any], Any]:
    def make(pipe: Any) -> Any:
        config = {"num_layers": 1, "extra_conditioning_channels": extra_channels}
        return filled(diffusers.SD3ControlNetModel.from_config({**pipe.transformer.config, **config}))

    return make


NEGATIVE = ["two dog", "the key"]
TRUE_GUIDANCE = {"negative_prompt": NEGATIVE, "true_cfg_scale": 2.0}


def flux_cases() -> Iterator[Case]:
    """FLUX.1."""
    kinds = ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint", "Control", "ControlImg2Img")
    for kind in (*kinds, "ControlInpaint", "Fill", "Kontext", "KontextInpaint"):
        name = f"Flux{kind}Pipeline"
        call = {"num_inference_steps": 4, "max_sequence_length": T5, "guidance_scale": 3.0, **arguments_of(kind)}
        changes: dict[str, Any] = {"controlnet": _flux_controlnet}
        is_guided = kind in ("", "Img2Img", "Inpaint", "ControlNet", "Kontext", "KontextInpaint")
        if is_guided:
            call |= TRUE_GUIDANCE
        if kind in ("Control", "ControlImg2Img", "ControlInpaint"):
            changes["transformer"] = changed("transformer", in_channels=32, out_channels=16)
        if kind == "Fill":
            call |= {"image": picture(), "mask_image": picture(1)}
            changes["transformer"] = changed("transformer", in_channels=48, out_channels=16)
        if "Kontext" in kind:
            call |= {"image": picture(), "max_area": 32 * 48, "_auto_resize": False}
        yield Case(
            name,
            made_from(tiny.flux, name, **changes),
            call,
            reference.flux,
            words(0),
            lambda layer: (8, 12),
            image_start=(T5, T5),
            calls=1 + is_guided,
            guidance={"classifier_free": 2.0 if is_guided else None, "embedded": 3.0},
        )


def _flux_controlnet(pipe: Any) -> Any:
    config = {**pipe.transformer.config, "num_layers": 1, "num_single_layers": 1}
    return filled(diffusers.FluxControlNetModel.from_config(config))


def qwen_cases() -> Iterator[Case]:
    """Qwen-Image."""
    for kind in ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpaint"):
        name = f"QwenImage{kind}Pipeline"
        call = {"num_inference_steps": 4, **TRUE_GUIDANCE, **arguments_of(kind)}
        extra_channels = 0
        if kind == "ControlNetInpaint":
            call = {argument: value for argument, value in call.items() if argument not in ("image", "mask_image", "strength")}
            call |= {"num_inference_steps": 4, "control_mask": picture(1)}
            extra_channels = 4
        yield Case(
            name,
            made_from(tiny.qwen_image, name, controlnet=_qwen_controlnet(extra_channels)),
            call,
            reference.qwen,
            words(0),
            lambda layer: (4, 6),
            calls=2,
            guidance={"classifier_free": 2.0, "embedded": None},
        )


def _qwen_controlnet(extra_channels: int) -> Callable[[Any], Any]:
    def make(pipe: Any) -> Any:
        config = {**pipe.transformer.config, "num_layers": 1, "extra_condition_channels": extra_channels}
        return filled(diffusers.QwenImageControlNetModel.from_config(config))

    return make


VARIANTS = [*unet_cases(), *sd3_cases(), *flux_cases(), *qwen_cases()]
