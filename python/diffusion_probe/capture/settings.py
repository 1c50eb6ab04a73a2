"""Describes how a call of a pipeline was captured, as a probe's manifest does, and compares that with a probe's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..probe.manifest import Capture
from .families import family_of
from .tokens import TOKENS

# The reductions that this package implements. It cannot capture for a probe that was trained on others.
REDUCTIONS = {"heads": "mean", "tokens": TOKENS, "pooling": "area"}

# The fields of a scheduler's configuration that change the noise level of a step or the way to it.
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
    """The settings of one call. `call`: the pipeline's arguments by name. `steps`: denoiser evaluations in the whole run."""
    return Capture(
        layers=tuple(layers),
        height=grid[0],
        width=grid[1],
        **REDUCTIONS,
        scheduler=scheduler_name(pipe.scheduler),
        total_steps=steps,
        guidance=guidance_scale(pipe, call),
        resolution=resolution(pipe, call),
    )


def scheduler_name(scheduler: Any) -> str:
    """Its class and those of `SCHEDULER_FIELDS` that are set, as in `EulerDiscreteScheduler(beta_end=0.012)`."""
    config = scheduler.config
    fields = (f"{name}={config[name]}" for name in SCHEDULER_FIELDS if config.get(name) not in (None, False))
    return f"{type(scheduler).__name__}({', '.join(fields)})"


def guidance_scale(pipe: Any, call: Mapping[str, Any]) -> float:
    """The scale of true classifier-free guidance if the call uses it, else `guidance_scale`; 1 means no guidance."""
    negative = call.get("negative_prompt") is not None or call.get("negative_prompt_embeds") is not None
    true_scale = call.get("true_cfg_scale")
    if true_scale is not None and true_scale > 1 and negative:
        return float(true_scale)
    scale = call.get("guidance_scale")
    return 1.0 if scale is None else float(scale)


def resolution(pipe: Any, call: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width in pixels. A side that is not given comes from the backbone's sample size, as in the pipelines."""
    side = _default_side(pipe)
    return int(call.get("height") or side), int(call.get("width") or side)


def _default_side(pipe: Any) -> int:
    own = getattr(pipe, "default_sample_size", None)
    if own is None:
        own = getattr(pipe, family_of(pipe).denoiser).config.sample_size
    return own * pipe.vae_scale_factor if isinstance(own, int) else max(own) * pipe.vae_scale_factor


def differences(actual: Capture, expected: Capture) -> dict[str, tuple[Any, Any]]:
    """The fields that differ: name -> (actual value, expected value)."""
    wanted = asdict(expected)
    return {name: (value, wanted[name]) for name, value in asdict(actual).items() if value != wanted[name]}
