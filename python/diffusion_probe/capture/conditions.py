"""Describes how a call of a pipeline draws its images, in the form of docs/contract.md. No text of the user is in it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..fingerprint import fingerprint
from .families import Family, family_of, unwrapped
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
FREE_U = ("s1", "s2", "b1", "b2")
HASH_DIGITS = 16


def conditions_of(pipe: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of a run that has begun: its scheduler's timesteps are set. `call`: the pipeline's arguments by name."""
    family = family_of(pipe)
    denoiser = unwrapped(getattr(pipe, family.denoiser))
    return {
        "pipeline": {
            "class": type(pipe).__name__,
            **_pipeline_settings(pipe),
            "vae_tiles": _vae_tiles(pipe.vae),
            "cache": _cache(denoiser),
        },
        "scheduler": {"class": type(pipe.scheduler).__name__, **_public(pipe.scheduler.config)},
        "timesteps": [round(float(timestep), TIMESTEP_DECIMALS) for timestep in pipe.scheduler.timesteps],
        "call": _call(pipe, call),
        "guidance": guidance(pipe, family, call),
        "dtype": _dtype(denoiser, pipe._execution_device.type),
        "quantization": _quantization(denoiser),
        "weights": weights_of(pipe),
        "adapters": _adapters(pipe),
        "free_u": _free_u(denoiser),
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
    return {name: _setting(value, hashed_text) for name, value in {**given, "height": height, "width": width}.items()}


def _pipeline_settings(pipe: Any) -> dict[str, Any]:
    """Numbers and flags of the pipeline's configuration, such as `force_zeros_for_empty_prompt`."""
    return {name: value for name, value in _public(pipe.config).items() if isinstance(value, bool | int | float)}


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _setting(value, str) for name, value in config.items() if not name.startswith("_")}


def _setting(value: Any, text: Callable[[str], str]) -> Any:
    """A JSON value. `text` returns what stands for a text. An array is replaced by its hash."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, torch.Tensor):
        return _setting(value.detach().float().cpu().numpy(), text)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value, np.float32)
        return hashed(str(array.shape).encode() + array.tobytes()) if array.ndim else float(array)
    if isinstance(value, Mapping):
        return {str(name): _setting(item, text) for name, item in value.items()}
    if isinstance(value, Sequence):
        return _settings(value, text)
    return type(value).__name__


def _settings(values: Sequence[Any], text: Callable[[str], str]) -> Any:
    """A list; one text for a list of equal texts: pipelines take one negative prompt for all prompts, or one for each."""
    items = [_setting(value, text) for value in values]
    is_text = bool(values) and all(isinstance(value, str) and value == values[0] for value in values)
    return items[0] if is_text else items


def hashed_text(text: str) -> str:
    """The hash that stands for a text of the user."""
    return hashed(text.encode(errors="surrogatepass"))


def hashed(content: bytes) -> str:
    """`sha256:` and 16 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}"


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _dtype(denoiser: nn.Module, device: str) -> str:
    """That of the weights; within `torch.autocast` also that of the arithmetic."""
    own = str(denoiser.dtype).removeprefix("torch.")
    if not torch.is_autocast_enabled(device):
        return own
    return f"{own}, autocast {str(torch.get_autocast_dtype(device)).removeprefix('torch.')}"


def _quantization(denoiser: nn.Module) -> str | None:
    """The method, and the fingerprint of its settings."""
    config = getattr(denoiser, "config", {}).get("quantization_config")
    if config is None:
        return None
    settings = _setting(config if isinstance(config, Mapping) else config.to_dict(), str)
    return f"{settings.get('quant_method', type(config).__name__)}:{fingerprint(settings)}"


def _adapters(pipe: Any) -> list[dict[str, Any]]:
    """The active adapters of PEFT's layers in all components, with the scale of each.

    An adapter whose scale is not the same everywhere has an item for each, with a hash of the names of the modules.
    """
    found: dict[str, dict[float, list[str]]] = {}
    for component in sorted(pipe.components):
        part = pipe.components[component]
        for path, module in uncompiled(part).named_modules() if isinstance(part, nn.Module) else ():
            for name, scale in _scales(module).items():
                found.setdefault(name, {}).setdefault(scale, []).append(f"{component}.{path}".replace("_orig_mod.", ""))
    items: list[dict[str, Any]] = []
    for name, modules in sorted(found.items()):
        active = modules.keys() - {0.0}
        if len(modules) > 1:
            items += [
                {"name": name, "scale": scale, "modules": hashed("\n".join(modules[scale]).encode())} for scale in sorted(active)
            ]
        else:
            items += [{"name": name, "scale": scale} for scale in active]
    return items


def _scales(module: nn.Module) -> dict[str, float]:
    """By adapter, the scale in a layer of PEFT; 0 for one that is loaded and not active."""
    scaling = getattr(module, "scaling", None)
    active = getattr(module, "active_adapters", None)
    if not isinstance(scaling, Mapping) or callable(active):
        return {}
    used = () if getattr(module, "disable_adapters", False) else active or ()
    return {name: float(scale) if name in used else 0.0 for name, scale in scaling.items()}


def _vae_tiles(vae: Any) -> dict[str, Any] | None:
    """The sizes of the tiles in which the VAE decodes an image; None without: edges of tiles are blended."""
    if not getattr(vae, "use_tiling", False):
        return None
    return {name: _setting(value, str) for name, value in sorted(vars(vae).items()) if name.startswith("tile_")}


def _cache(denoiser: nn.Module) -> dict[str, Any] | None:
    """The cache that takes the output of some blocks from an earlier step, and its settings; None without."""
    config = getattr(denoiser, "_cache_config", None)
    return None if config is None else {"class": type(config).__name__, **_public(vars(config))}


def _free_u(denoiser: nn.Module) -> dict[str, float] | None:
    """The factors that FreeU has set on the blocks of a UNet; None without."""
    for block in getattr(denoiser, "up_blocks", ()):
        factors = {name: getattr(block, name, None) for name in FREE_U}
        if all(value is not None for value in factors.values()):
            return {name: float(value) for name, value in factors.items()}
    return None
