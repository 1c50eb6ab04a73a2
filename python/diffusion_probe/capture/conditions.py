"""Describes how a call of a pipeline draws its images, in the form of docs/contract.md. No text of the user is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .components import adapters, cache, dtype, free_u, quantization, vae_tiles
from .families import Family, family_of, unwrapped
from .setting_values import hashed_text, public_settings, setting_value
from .weights import weights_of

TIMESTEP_DECIMALS = 3
# Arguments that are no settings: what to draw, how many images, the noise, and the form of the output.
LEFT_OUT = {
    "self",
    "prompt",
    "prompt_2",
    "prompt_3",
    "prompt_embeds",
    "prompt_embeds_mask",
    "pooled_prompt_embeds",
    "num_images_per_prompt",
    "generator",
    "latents",
    "image",
    "ip_adapter_image",
    "ip_adapter_image_embeds",
    "output_type",
    "return_dict",
    "callback",
    "callback_steps",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
}


def conditions_of(pipe: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of a run that has begun: its scheduler's timesteps are set. `call`: the pipeline's arguments by name."""
    family = family_of(pipe)
    denoiser = unwrapped(getattr(pipe, family.denoiser))
    return {
        "pipeline": {
            "class": type(pipe).__name__,
            **_pipeline_settings(pipe),
            "vae_tiles": vae_tiles(pipe.vae),
            "cache": cache(denoiser),
        },
        "scheduler": {"class": type(pipe.scheduler).__name__, **public_settings(pipe.scheduler.config)},
        "timesteps": [round(float(timestep), TIMESTEP_DECIMALS) for timestep in pipe.scheduler.timesteps],
        "call": _call(pipe, call),
        "guidance": guidance(pipe, family, call),
        "dtype": dtype(denoiser, pipe._execution_device.type),
        "quantization": quantization(denoiser),
        "weights": weights_of(pipe),
        "adapters": adapters(pipe),
        "free_u": free_u(denoiser),
    }


def guidance(pipe: Any, family: Family, call: Mapping[str, Any]) -> dict[str, float | None]:
    """The scale that takes two forwards, and the one that is an input of the denoiser; None for one that is not used."""
    config = getattr(pipe, family.denoiser).config
    scale = _float(call.get("guidance_scale"))
    if family.joined_guidance:
        is_embedded = config.get("time_cond_proj_dim") is not None
        doubled = None if is_embedded or scale is None or scale <= 1 else scale
        return {"classifier_free": doubled, "embedded": scale if is_embedded else None}
    true_scale = _float(call.get("true_cfg_scale"))
    has_negative = call.get("negative_prompt") is not None or call.get("negative_prompt_embeds") is not None
    doubled = true_scale if true_scale is not None and true_scale > 1 and has_negative else None
    return {"classifier_free": doubled, "embedded": scale if config.get("guidance_embeds") else None}


def resolution(pipe: Any, call: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width in pixels. A side that is not given comes from the backbone's sample size, as in the pipelines."""
    side = _default_side(pipe)
    return int(call.get("height") or side), int(call.get("width") or side)


def _default_side(pipe: Any) -> int:
    own = getattr(pipe, "default_sample_size", None)
    if own is None:
        own = getattr(pipe, family_of(pipe).denoiser).config.sample_size
    return own * pipe.vae_scale_factor if isinstance(own, int) else max(own) * pipe.vae_scale_factor


def _call(pipe: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    height, width = resolution(pipe, call)
    given = {name: value for name, value in call.items() if name not in LEFT_OUT}
    return {name: setting_value(value, hashed_text) for name, value in {**given, "height": height, "width": width}.items()}


def _pipeline_settings(pipe: Any) -> dict[str, Any]:
    """Numbers and flags of the pipeline's configuration, such as `force_zeros_for_empty_prompt`."""
    return {name: value for name, value in public_settings(pipe.config).items() if isinstance(value, bool | int | float)}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
