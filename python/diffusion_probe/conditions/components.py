"""Describes the state of a pipeline's components: precision, adapters, and what changes how they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..fingerprint import fingerprint
from .setting_values import hashed, public_settings, setting_value

FREE_U = ("s1", "s2", "b1", "b2")


def dtype(denoiser: nn.Module, device: str) -> str:
    """That of the weights; within `torch.autocast` also that of the arithmetic."""
    own = str(denoiser.dtype).removeprefix("torch.")
    if not torch.is_autocast_enabled(device):
        return own
    return f"{own}, autocast {str(torch.get_autocast_dtype(device)).removeprefix('torch.')}"


def quantization(denoiser: nn.Module) -> str | None:
    """The method, and the fingerprint of its settings."""
    config = getattr(denoiser, "config", {}).get("quantization_config")
    if config is None:
        return None
    settings = setting_value(config if isinstance(config, Mapping) else config.to_dict(), str)
    return f"{settings.get('quant_method', type(config).__name__)}:{fingerprint(settings)}"


def adapters(pipe: Any) -> list[dict[str, Any]]:
    """The active adapters of PEFT's layers in all components, with the scale of each.

    An adapter whose scale is not the same everywhere has an item for each, with a hash of the names of the modules.
    """
    found: dict[str, dict[float, list[str]]] = {}
    for component in sorted(pipe.components):
        part = pipe.components[component]
        for path, module in part.named_modules() if isinstance(part, nn.Module) else ():
            inner = path.replace("_orig_mod.", "").removeprefix("base_model.model.")  # inside the wrappers of compiling and PEFT
            for name, scale in _scales(module).items():
                found.setdefault(name, {}).setdefault(scale, []).append(f"{component}.{inner}")
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


def vae_tiles(vae: Any) -> dict[str, Any] | None:
    """The sizes of the tiles in which the VAE decodes an image; None without: edges of tiles are blended."""
    if not getattr(vae, "use_tiling", False):
        return None
    return {name: setting_value(value, str) for name, value in sorted(vars(vae).items()) if name.startswith("tile_")}


def cache(denoiser: nn.Module) -> dict[str, Any] | None:
    """The cache that takes the output of some blocks from an earlier step, and its settings; None without."""
    config = getattr(denoiser, "_cache_config", None)
    return None if config is None else {"class": type(config).__name__, **public_settings(vars(config))}


def free_u(denoiser: nn.Module) -> dict[str, float] | None:
    """The factors that FreeU has set on the blocks of a UNet; None without."""
    for block in getattr(denoiser, "up_blocks", ()):
        factors = {name: getattr(block, name, None) for name in FREE_U}
        if all(value is not None for value in factors.values()):
            return {name: float(value) for name, value in factors.items()}
    return None
