"""Describes how a call of a pipeline draws its images, in the form of docs/contract.md. No text of the user is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .components import adapters, cache, dtype, free_u, quantization, vae_tiles
from .setting_values import hashed_text, public_settings, setting_value
from .weights import weights_of

TIMESTEP_DECIMALS = 3
# Arguments that are no settings: what to draw, how many images, the noise, and the form of the output.
LEFT_OUT = {
    "self",
    "prompt",
    "prompt_2",
    "prompt_3",
    "prompt_4",
    "prompt_embeds",
    "prompt_embeds_mask",
    "prompt_embeds_t5",
    "prompt_embeds_llama3",
    "prompt_attention_mask",
    "pooled_prompt_embeds",
    "num_images_per_prompt",
    "generator",
    "latents",
    "image",
    "image_reference",
    "mask_image",
    "masked_image_latents",
    "control_image",
    "control_mask",
    "ip_adapter_image",
    "ip_adapter_image_embeds",
    "output_type",
    "return_dict",
    "callback",
    "callback_steps",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
}


def conditions_of(
    pipe: Any, denoiser: nn.Module, call: Mapping[str, Any], size: tuple[int, int], guidance: Any, timesteps: Tensor
) -> dict[str, Any]:
    """The conditions of a run that has begun.

    `denoiser`: without wrappers. `call`: the pipeline's arguments by name. `size`: height and width of the image in pixels, where
    the call does not give them. `guidance`: the scale of classifier-free guidance; None without it. `timesteps`: of its steps.
    """
    is_embedded = denoiser.config.get("time_cond_proj_dim") is not None or denoiser.config.get("guidance_embeds")
    return {
        "pipeline": {
            "class": type(pipe).__name__,
            **_pipeline_settings(pipe),
            "vae_tiles": vae_tiles(pipe.vae),
            "cache": cache(denoiser),
        },
        "scheduler": {"class": type(pipe.scheduler).__name__, **public_settings(pipe.scheduler.config)},
        "timesteps": [round(float(timestep), TIMESTEP_DECIMALS) for timestep in timesteps],
        "call": _call(call, size),
        # The scale that takes two forwards, and the one that is an input of the denoiser.
        "guidance": {
            "classifier_free": _float(guidance),
            "embedded": _float(call.get("guidance_scale")) if is_embedded else None,
        },
        "dtype": dtype(denoiser, pipe._execution_device.type),
        "quantization": quantization(denoiser),
        "weights": weights_of(pipe),
        "adapters": adapters(pipe),
        "free_u": free_u(denoiser),
    }


def _call(call: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    height, width = (int(call.get(name) or side) for name, side in zip(("height", "width"), size, strict=True))
    given = {name: value for name, value in call.items() if name not in LEFT_OUT}
    return {name: setting_value(value, hashed_text) for name, value in {**given, "height": height, "width": width}.items()}


def _pipeline_settings(pipe: Any) -> dict[str, Any]:
    """Numbers and flags of the pipeline's configuration, such as `force_zeros_for_empty_prompt`."""
    return {name: value for name, value in public_settings(pipe.config).items() if isinstance(value, bool | int | float)}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
