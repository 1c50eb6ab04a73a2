"""Seeing the queries and keys of one attention module while it runs, without standing in the way of what it computes.

A torch function mode is told of every call of `scaled_dot_product_attention` that happens inside it, in this thread alone. It
sees queries and keys after normalisation and rotary embedding, fused projections or adapters notwithstanding, passes the call
on untouched, and leaves processors where they are: the attention modules of diffusers hand a processor only those arguments
that its signature names (https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/attention_processor.py), so
that a wrapper around one would lose masks and rotary embeddings without a word.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import CaptureError, OnError
from .reduction import AttentionCall
from .shadow import shadowed

Sink = Callable[[AttentionCall], None]
NATIVE_BACKEND = "native"

# Processors that compute plain attention in other words than `scaled_dot_product_attention`, by the name of a class that
# computes the same with it. Asked again through that one, a module shows the same queries and keys.
PLAIN_EQUIVALENTS = {
    "AttnProcessor": "AttnProcessor2_0",
    "SlicedAttnProcessor": "AttnProcessor2_0",
    "XFormersAttnProcessor": "AttnProcessor2_0",
}


class AttentionTap:
    """Watches one attention module: `with tap.on(module): denoiser(...)` sends its first attention call to the sink."""

    def __init__(self, name: str, sink: Sink, on_error: OnError | None = None):
        """`on_error` takes what goes wrong while looking, so that the module's own call goes on; without it, that raises."""
        self.name = name
        self.sink = sink
        self.on_error = on_error

    def on(self, module: nn.Module):
        """A context manager; inside it the module is watched."""
        forward = module.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            with _SdpaWatch(self._look) as watch:
                output = forward(*args, **kwargs)
            if not watch.seen:
                self._try(lambda: self._ask_again(module, forward, args, kwargs))
            return output

        return shadowed(module, "forward", watched)

    def _look(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        self._try(lambda: self.sink(_attention_call(*args, **kwargs)))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if self.on_error is None:
                raise
            self.on_error(error)

    def _ask_again(self, module: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]) -> None:
        """The module ran another kernel. Let a copy of its processor run the plain one up to the attention, for its arguments."""
        with shadowed(module, "processor", _plain(module.processor)), _SdpaWatch(self._look, stop=True) as watch:
            try:
                forward(*args, **kwargs)
            except _EnoughError:
                return
        if not watch.seen:
            raise CaptureError(f"{self.name}: the processor {type(module.processor).__name__} shows no attention to capture")


class _EnoughError(Exception):
    """The attention has been seen; nothing after it is wanted."""


class _SdpaWatch(TorchFunctionMode):
    """Shows the arguments of the first call of `scaled_dot_product_attention`. Later ones are those of adapters."""

    def __init__(self, look: Callable[[tuple, Mapping[str, Any]], None], stop: bool = False):
        super().__init__()
        self.look = look
        self.stop = stop
        self.seen = False

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and not self.seen:
            self.seen = True
            self.look(args, kwargs)
            if self.stop:
                raise _EnoughError
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
    if is_causal or query.shape[1] != key.shape[1]:
        raise CaptureError("causal and grouped attention is not supported: expected every image position to see every token")
    mask = attn_mask
    if mask is not None:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return AttentionCall(query, key, mask, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)


def _plain(processor: Any) -> Any:
    """A processor that computes the same through `scaled_dot_product_attention`. Raises CaptureError for an unknown one."""
    name = type(processor).__name__
    if hasattr(processor, "_attention_backend"):
        plain = copy.copy(processor)
        plain._attention_backend = NATIVE_BACKEND
        return plain
    if name in PLAIN_EQUIVALENTS:
        from diffusers.models import attention_processor

        return getattr(attention_processor, PLAIN_EQUIVALENTS[name])()
    raise CaptureError(f"the attention processor {name} is not supported: expected one that calls scaled_dot_product_attention")


def run_eagerly():
    """A context manager: compiled modules run as written, since a compiled one would not call what is watched."""
    return torch.compiler.set_stance("force_eager")
