"""Intercepts the calls of a denoiser during one run of its pipeline and counts the steps.

A pipeline calls its denoiser once per step, or twice where its guidance makes one call with the prompt and one without it. Both
get the same tensor of latents, and the call with the prompt is the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from .families import unwrapped
from .patched_attribute import patched_attribute

SKIP_LAYERS = "skip_layers"  # SD3's skip-layer guidance makes one more conditional call per step, with this argument


@dataclass(frozen=True)
class ImageSubset:
    """Some of the images of a run: their indices in ascending order, and how many images the run has."""

    images: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class DenoiserCall:
    """One call of the denoiser."""

    step: int  # counts the denoiser's evaluations from 1; the two calls of one guided step count once
    conditional: bool  # the step's call with the prompt's tokens, and not the extra call of skip-layer guidance
    arguments: Mapping[str, Any]  # all that were given, by name
    positional: int  # how many of them were given by position
    denoiser: Callable[..., Any]
    subset: ImageSubset | None = None  # the images that it is for; None: all

    def evaluate(self, **changed: Any) -> Any:
        """Call the denoiser, with some arguments changed. Positional arguments stay positional: other hooks may expect that."""
        arguments = {**self.arguments, **changed}
        names = list(self.arguments)
        positional = [arguments.pop(name) for name in names[: self.positional]]
        return self.denoiser(*positional, **arguments)


Handler = Callable[[DenoiserCall], Any]
IsStep = Callable[[int, Mapping[str, Any]], bool]


@contextmanager
def intercepted_calls(
    denoiser: nn.Module,
    sample: str | None,
    handler: Handler,
    is_step: IsStep = lambda step, arguments: True,
) -> Iterator[None]:
    """Inside the block every call of the denoiser goes to `handler`, which returns the call's output.

    `sample`: the denoiser's argument that holds the latents; None: every call is a step. `is_step`: whether a call with these
    arguments can be that step of the sampling loop. A callback of the user may call too.
    """
    interceptor = _Interceptor(denoiser, sample, handler, is_step)
    # `Module.compile()` sets this attribute. It comes before hooks and compiled code, and belongs to this instance alone.
    with patched_attribute(denoiser, "_compiled_call_impl", interceptor.call):
        yield


class _Interceptor:
    """Counts the calls of one denoiser in one run."""

    def __init__(self, denoiser: nn.Module, sample: str | None, handler: Handler, is_step: IsStep):
        compiled = vars(denoiser).get("_compiled_call_impl")
        self._denoiser: Callable[..., Any] = denoiser._call_impl if compiled is None else compiled
        self._signature = inspect.signature(unwrapped(denoiser).forward)
        self._sample = sample
        self._handler = handler
        self._is_step = is_step
        self._steps = 0
        self._latents: Any = None  # of the last step

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Replaces the denoiser's own call."""
        arguments = self._signature.bind(*args, **kwargs).arguments
        latents = None if self._sample is None else arguments[self._sample]
        conditional = (latents is None or latents is not self._latents) and arguments.get(SKIP_LAYERS) is None
        conditional = conditional and self._is_step(self._steps + 1, arguments)
        if conditional:
            self._steps += 1
            self._latents = latents
        return self._handler(DenoiserCall(self._steps, conditional, arguments, len(args), self._denoiser))
