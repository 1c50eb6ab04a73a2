"""Finds the family of a pipeline, and the attention modules in which its image sees text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from .errors import CaptureError
from .family import NONE, Family
from .table import TABLE
from .tokens import Call

DEFAULT_LAYERS = 10
# What wrappers add to the names of the modules inside them.
WRAPPER_NAMES = re.compile(r"(_orig_mod|_fsdp_wrapped_module)\.")
PARALLEL = ("DistributedDataParallel", "FullyShardedDataParallel")
FAMILIES: dict[str, Family] = {pipeline: family for family in TABLE for pipeline in family.pipelines}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline or of its base class. Raises CaptureError for a pipeline that is not supported."""
    for kind in type(pipe).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(
        f"{type(pipe).__name__} is not supported: its attention has not been checked. Run it without guard or capture, or bring "
        "your own: docs/bring-your-own.md has the steps, and `diffusion-probe capture check` compares what is captured"
    )


def is_guided(pipe: Any, family: Family, call: Call) -> bool:
    """Whether a run evaluates the denoiser without the prompt too."""
    if family.guidance == NONE:
        return False
    scale = call.get(family.scale)
    if family.scale == "true_cfg_scale":
        negative = call.get("negative_prompt") is not None or call.get("negative_prompt_embeds") is not None
        return negative and scale is not None and scale > 1
    by_pipeline = getattr(pipe, "do_classifier_free_guidance", None)
    return scale is not None and scale > 1 if by_pipeline is None else bool(by_pipeline)


def unwrapped(denoiser: nn.Module) -> nn.Module:
    """The denoiser inside of the wrappers of `torch.compile`, `peft.get_peft_model`, DDP and FSDP."""
    while True:
        if hasattr(denoiser, "_orig_mod"):
            denoiser = denoiser._orig_mod
        elif type(denoiser).__name__ in PARALLEL:
            denoiser = denoiser.module
        elif hasattr(denoiser, "get_base_model"):
            denoiser = denoiser.get_base_model()
        else:
            return denoiser


def named_modules(denoiser: nn.Module) -> dict[str, nn.Module]:
    """The modules of a denoiser by their names without its wrappers."""
    return {WRAPPER_NAMES.sub("", name): module for name, module in unwrapped(denoiser).named_modules()}


def text_layers(pipe: Any) -> dict[str, nn.Module]:
    """The attention modules of a pipeline's denoiser in which image positions attend to text, by full name, in order."""
    family = family_of(pipe)
    modules = named_modules(getattr(pipe, family.denoiser))
    return {name: module for name, module in modules.items() if re.fullmatch(family.layers, name)}


def choose_layers(pipe: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Full names of attention modules, in the backbone's order.

    `layers`: names, or patterns with `*`; None: ten, spread evenly over the depth. Raises CaptureError for one that matches none.
    """
    denoiser = getattr(pipe, family_of(pipe).denoiser)
    if not hasattr(denoiser, "config"):
        raise CaptureError(
            f"the denoiser is a {type(denoiser).__name__} without `config`, which pipelines read: give the pipeline its `module`"
        )
    present = list(text_layers(pipe))
    if not present:
        pattern = family_of(pipe).layers
        raise CaptureError(f"{type(pipe).__name__} has no attention layers: expected modules whose names match {pattern}")
    if layers is None:
        return spread_over_depth(present)
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise CaptureError(f"there is no layer {pattern!r}: expected some of {', '.join(present)}")
    return tuple(name for name in present if any(fnmatchcase(name, pattern) for pattern in layers))


def spread_over_depth(present: Sequence[str], most: int = DEFAULT_LAYERS) -> tuple[str, ...]:
    """At most `most` of the layers, spread evenly over the depth."""
    count = min(most, len(present))
    return tuple(present[(2 * index + 1) * len(present) // (2 * count)] for index in range(count))
