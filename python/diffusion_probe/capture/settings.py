"""How a call of a pipeline captures, in the words of a probe's manifest, and where that differs from what a probe learnt on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..probe.manifest import Capture
from .families import family_of
from .tokens import TOKENS

HEADS = "mean"
POOLING = "area"

# How maps are always made here; those of a probe that were made in another way mean something else.
MEANING = {"heads": HEADS, "tokens": TOKENS, "pooling": POOLING}

# What of a scheduler's configuration decides where in the noise a step stands, or how it gets there.
SCHEDULER_FIELDS = (
    "algorithm_type",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "prediction_type",
    "rescale_betas_zero_snr",
    "shift",
    "skip_prk_steps",
    "solver_order",
    "steps_offset",
    "timestep_spacing",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_karras_sigmas",
)


def capture_settings(pipe: Any, call: Mapping[str, Any], layers: Sequence[str], grid: tuple[int, int], steps: int) -> Capture:
    """The settings of one call. `call`: its arguments by name; `steps`: evaluations of the denoiser in the whole run."""
    return Capture(
        layers=tuple(layers),
        height=grid[0],
        width=grid[1],
        heads=HEADS,
        tokens=TOKENS,
        pooling=POOLING,
        scheduler=scheduler_name(pipe.scheduler),
        total_steps=steps,
        guidance=guidance_scale(pipe, call),
        resolution=resolution(pipe, call),
    )


def scheduler_name(scheduler: Any) -> str:
    """Its class and what of its configuration changes a run."""
    config = scheduler.config
    fields = (f"{name}={config[name]}" for name in SCHEDULER_FIELDS if config.get(name) not in (None, False))
    return f"{type(scheduler).__name__}({', '.join(fields)})"


def guidance_scale(pipe: Any, call: Mapping[str, Any]) -> float:
    """True classifier-free guidance where the call asks for it, else the scale that the backbone is told; 1 is none."""
    negative = call.get("negative_prompt") is not None or call.get("negative_prompt_embeds") is not None
    true_scale = call.get("true_cfg_scale")
    if true_scale is not None and true_scale > 1 and negative:
        return float(true_scale)
    scale = call.get("guidance_scale")
    return 1.0 if scale is None else float(scale)


def resolution(pipe: Any, call: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width in pixels; as the pipelines do, what is left out comes from the backbone's sample size."""
    side = _default_side(pipe)
    return int(call.get("height") or side), int(call.get("width") or side)


def _default_side(pipe: Any) -> int:
    own = getattr(pipe, "default_sample_size", None)
    if own is None:
        own = getattr(pipe, family_of(pipe).denoiser).config.sample_size
    return own * pipe.vae_scale_factor if isinstance(own, int) else max(own) * pipe.vae_scale_factor


def differences(actual: Capture, expected: Capture) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, each with what is and what was expected."""
    ours, theirs = asdict(actual), asdict(expected)
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
