"""Finds the family of a pipeline, and the attention modules in which its image sees text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from .errors import CaptureError
from .family import NONE, Family
from .family_table import TABLE
from .tokens import Call

DEFAULT_LAYERS = 10
FAMILIES: Mapping[str, Family] = {pipeline: family for family in TABLE for pipeline in family.pipelines}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline or of its base class. Raises CaptureError for a pipeline that is not supported."""
    for kind in type(pipe).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(
        f"{type(pipe).__name__} is not supported: its attention has not been checked. Run it without guard or capture, "
        "derive your class from one of those that docs/capture-and-guard.md lists, or add a row to capture/family_table.py"
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
    """The denoiser inside of the wrappers of `torch.compile` and `peft.get_peft_model`."""
    while True:
        if hasattr(denoiser, "_orig_mod"):
            denoiser = denoiser._orig_mod
        elif hasattr(denoiser, "get_base_model"):
            denoiser = denoiser.get_base_model()
        else:
            return denoiser


def named_modules(denoiser: nn.Module) -> dict[str, nn.Module]:
    """The modules of a denoiser by their names without wrappers."""
    return {name.replace("_orig_mod.", ""): module for name, module in unwrapped(denoiser).named_modules()}


def text_layers(pipe: Any) -> dict[str, nn.Module]:
    """The attention modules of a pipeline's denoiser in which image positions attend to text, by full name, in order."""
    family = family_of(pipe)
    modules = named_modules(getattr(pipe, family.denoiser))
    return {name: module for name, module in modules.items() if re.fullmatch(family.layers, name)}


def choose_layers(pipe: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Full names of attention modules, in the backbone's order.

    `layers`: names, or patterns with `*`; None: ten, spread evenly over the depth. Raises CaptureError for one that matches none.
    """
    present = list(text_layers(pipe))
    if layers is None:
        count = min(DEFAULT_LAYERS, len(present))
        return tuple(present[(2 * index + 1) * len(present) // (2 * count)] for index in range(count))
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise CaptureError(f"there is no layer {pattern!r}: expected some of {', '.join(present)}")
    return tuple(name for name in present if any(fnmatchcase(name, pattern) for pattern in layers))
