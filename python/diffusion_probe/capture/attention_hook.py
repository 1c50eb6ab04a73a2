"""Reads the queries and keys of one attention module while it runs, without changing what it computes.

A torch function mode sees every call of `scaled_dot_product_attention` in its thread: after normalisation and rotary embedding,
and with fused projections and adapters. Attention processors are not replaced. See docs/adr/0011-capture-by-function-mode.md.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import CaptureError, OnError
from .patched_attribute import patched_attribute
from .reduction import AttentionCall

NATIVE_BACKEND = "native"

# Processors that compute attention without `scaled_dot_product_attention`, and the class that computes the same with it.
SDPA_EQUIVALENTS = {
    "AttnProcessor": "AttnProcessor2_0",
    "SlicedAttnProcessor": "AttnProcessor2_0",
    "XFormersAttnProcessor": "AttnProcessor2_0",
}


class AttentionHook:
    """`with hook.attached(module): denoiser(...)` passes the module's first attention call to `on_attention`."""

    def __init__(self, name: str, on_attention: Callable[[AttentionCall], None], on_error: OnError | None = None):
        """`name`: the module's, for error texts. `on_error` takes errors of the capture; without it they are raised."""
        self._name = name
        self._on_attention = on_attention
        self._on_error = on_error

    def attached(self, module: nn.Module):
        """A context manager. Inside it the module's attention is read."""
        forward = module.forward

        def hooked(*args: Any, **kwargs: Any) -> Any:
            with _SdpaMode(self._on_sdpa) as mode:
                output = forward(*args, **kwargs)
            if not mode.called:
                self._try(lambda: self._repeat_with_sdpa(module, forward, args, kwargs))
            return output

        return patched_attribute(module, "forward", hooked)

    def _on_sdpa(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        self._try(lambda: self._on_attention(_attention_call(*args, **kwargs)))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if self._on_error is None:
                raise
            self._on_error(error)

    def _repeat_with_sdpa(self, module: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]) -> None:
        """Repeat a forward that used another kernel, with an equivalent processor, up to its attention call."""
        with patched_attribute(module, "processor", _sdpa_processor(module.processor)), _SdpaMode(self._on_sdpa, True) as mode:
            try:
                forward(*args, **kwargs)
            except _StoppedError:
                return
        if not mode.called:
            raise CaptureError(f"{self._name}: the processor {type(module.processor).__name__} makes no attention call")


@contextmanager
def read_layers(
    modules: Mapping[str, nn.Module], on_attention: Callable[[str, AttentionCall], None], on_error: OnError | None = None
) -> Iterator[None]:
    """Inside the block the attention of each module is read, by its name. `on_error`: as of AttentionHook."""
    with ExitStack() as stack:
        # A compiled module would not call the hooks.
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in modules.items():
            stack.enter_context(AttentionHook(name, functools.partial(on_attention, name), on_error).attached(module))
        yield


class _StoppedError(Exception):
    """Ends a repeated forward after its attention call."""


class _SdpaMode(TorchFunctionMode):
    """Passes on the arguments of the first call of `scaled_dot_product_attention`; further calls are those of adapters."""

    def __init__(self, on_call: Callable[[tuple, Mapping[str, Any]], None], stop: bool = False):
        super().__init__()
        self.called = False
        self._on_call = on_call
        self._stop = stop

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and not self.called:
            self.called = True
            self._on_call(args, kwargs)
            if self._stop:
                raise _StoppedError
        return func(*args, **kwargs)


def _attention_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> AttentionCall:
    """The signature is that of `scaled_dot_product_attention`."""
    if is_causal or query.shape[1] != key.shape[1]:
        raise CaptureError("causal and grouped attention is not supported: expected every image position to see every token")
    mask = attn_mask
    if mask is not None:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return AttentionCall(query, key, mask, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)


def _sdpa_processor(processor: Any) -> Any:
    """A processor that computes the same through `scaled_dot_product_attention`. Raises CaptureError for an unknown one."""
    name = type(processor).__name__
    if hasattr(processor, "_attention_backend"):
        native = copy.copy(processor)
        native._attention_backend = NATIVE_BACKEND
        return native
    if name in SDPA_EQUIVALENTS:
        from diffusers.models import attention_processor

        return getattr(attention_processor, SDPA_EQUIVALENTS[name])()
    raise CaptureError(f"the attention processor {name} is not supported: expected one that calls scaled_dot_product_attention")
