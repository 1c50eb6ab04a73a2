"""Counting the calls of a denoiser: which step of a run, and for which half of the guidance.

A denoiser is called once per step or, where the pipeline guides with two calls, once with the prompt and once without. The
pipelines that do so name the call by `denoiser.cache_context("cond" or "uncond")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from .families import uncompiled
from .shadow import shadowed

UNCONDITIONAL = "uncond"
SKIP_LAYERS = "skip_layers"  # SD3's skip-layer guidance calls the denoiser once more, for its own purpose


@dataclass(frozen=True)
class ImageRows:
    """Which of a run's images a call is about, where it is not about all of them."""

    images: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class DenoiserCall:
    """One call. `step` counts evaluations from 1; `conditional`: the prompt's tokens are in it, and it is no side call."""

    step: int
    conditional: bool
    arguments: Mapping[str, Any]  # all that were given, by name
    positional: int  # how many of them were given by place
    inner: Callable[..., Any]  # the denoiser itself
    rows: ImageRows | None = None  # none: all images

    def run(self, **changed: Any) -> Any:
        """Run it as it came, so that hooks of others see what they are used to, but with some arguments changed."""
        arguments = {**self.arguments, **changed}
        names = list(self.arguments)
        by_place = [arguments.pop(name) for name in names[: self.positional]]
        return self.inner(*by_place, **arguments)


Handler = Callable[[DenoiserCall], Any]


@contextmanager
def counted_calls(denoiser: nn.Module, handler: Handler) -> Iterator[None]:
    """Inside the block every call of the denoiser goes to `handler`, whose answer is the call's."""
    counter = _Counter(denoiser, handler)
    with ExitStack() as stack:
        # What `Module.compile()` sets: the one place in front of hooks and compiled code, for this instance alone.
        stack.enter_context(shadowed(denoiser, "_compiled_call_impl", counter.call))
        if counter.context is not None:
            stack.enter_context(shadowed(denoiser, "cache_context", counter.named))
        yield


class _Counter:
    """Stands in front of a denoiser for one run."""

    def __init__(self, denoiser: nn.Module, handler: Handler):
        compiled = vars(denoiser).get("_compiled_call_impl")
        self._inner: Callable[..., Any] = denoiser._call_impl if compiled is None else compiled
        self._signature = inspect.signature(uncompiled(denoiser).forward)
        self._handler = handler
        self._steps = 0
        self._branch: str | None = None
        self.context: Callable[..., AbstractContextManager[None]] | None = getattr(denoiser, "cache_context", None)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """In place of the denoiser's own call."""
        arguments = self._signature.bind(*args, **kwargs).arguments
        conditional = self._branch != UNCONDITIONAL and arguments.get(SKIP_LAYERS) is None
        self._steps += conditional
        return self._handler(DenoiserCall(self._steps, conditional, arguments, len(args), self._inner))

    @contextmanager
    def named(self, name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
        """In place of the denoiser's `cache_context`."""
        self._branch = name
        try:
            with self.context(name, *args, **kwargs):
                yield
        finally:
            self._branch = None
