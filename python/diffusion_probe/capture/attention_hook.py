"""Reads the queries and keys of attention modules while they run, without changing what they compute.

A torch function mode sees every call of `scaled_dot_product_attention` in its thread: after normalisation and rotary embedding,
and with fused projections and adapters. Attention processors are not replaced. See docs/adr/0011-capture-by-function-mode.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..families.errors import CaptureError
from .patched_attribute import patched_attribute
from .reduction import AttentionCall

NATIVE_BACKEND = "native"

# Processors that compute attention without `scaled_dot_product_attention`, and the class that computes the same with it.
SDPA_EQUIVALENTS = {
    "AttnProcessor": "AttnProcessor2_0",
    "SlicedAttnProcessor": "AttnProcessor2_0",
    "XFormersAttnProcessor": "AttnProcessor2_0",
}

OnAttention = Callable[[str, AttentionCall], None]
OnError = Callable[[Exception], None]


@contextmanager
def read_layers(modules: Mapping[str, nn.Module], on_attention: OnAttention, on_error: OnError | None = None) -> Iterator[None]:
    """Inside the block the first attention call of each module goes to `on_attention`, with the module's name.

    `on_error` takes errors of the reading; without it they are raised.
    """
    with ExitStack() as stack:
        # A compiled module would not call the hooks.
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in modules.items():
            hook = _Hook(name, module, on_attention, on_error)
            stack.enter_context(patched_attribute(module, "forward", hook.forward))
        yield


class _Hook:
    """Replaces the forward of one module by one that reads its attention."""

    def __init__(self, name: str, module: nn.Module, on_attention: OnAttention, on_error: OnError | None):
        self._name = name
        self._module = module
        self._own_forward = module.forward
        self._on_attention = on_attention
        self._on_error = on_error

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward, watched."""
        with _SdpaMode(self._on_sdpa) as mode:
            output = self._own_forward(*args, **kwargs)
        if not mode.called:
            self._try(lambda: self._repeat_with_sdpa(args, kwargs))
        return output

    def _on_sdpa(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        self._try(lambda: self._on_attention(self._name, _attention_call(*args, **kwargs)))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if self._on_error is None:
                raise
            self._on_error(error)

    def _repeat_with_sdpa(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        """Repeat a forward that used another kernel, with an equivalent processor, up to its attention call."""
        if not hasattr(self._module, "processor"):
            raise CaptureError(f"{self._name} does not call scaled_dot_product_attention: use AttentionObserver.add for it")
        processor = _sdpa_processor(self._module.processor)
        with patched_attribute(self._module, "processor", processor), _SdpaMode(self._on_sdpa, stop=True) as mode:
            try:
                self._own_forward(*args, **kwargs)
            except _StoppedError:
                return
        if not mode.called:
            kind = type(self._module.processor).__name__
            raise CaptureError(f"{self._name}: the processor {kind} makes no attention call")


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
    query: Tensor, key: Tensor, value: Any, attn_mask: Any = None, dropout_p: Any = 0, is_causal: Any = False, **options: Any
) -> AttentionCall:
    """The signature is that of `scaled_dot_product_attention`."""
    if is_causal or query.shape[1] != key.shape[1]:
        raise CaptureError("causal and grouped attention is not supported: expected every image position to see every token")
    return AttentionCall.of(query, key, attn_mask, options.get("scale"))


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
