"""Records the attention calls of some modules: the arguments of `scaled_dot_product_attention` as they reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class RecordedCall:
    """What determines the probabilities of one attention call."""

    query: Tensor  # [rows, heads, queries, head_dim]
    key: Tensor  # [rows, heads, keys, head_dim]
    mask: Tensor | None  # as of `scaled_dot_product_attention`, four axes
    scale: float | None  # None: 1 / sqrt(head_dim)


OnCall = Callable[[str, int, RecordedCall], None]
"""Takes the layer, which of the layer's calls it is, from 0, and the call."""


@contextmanager
def recorded_calls(modules: Mapping[str, nn.Module], on_call: OnCall, silenced: bool = False) -> Iterator[None]:
    """Inside the block `on_call` gets the first attention call in every call of each module.

    `silenced`: all attention of this thread returns zeros, so that no position of a sequence depends on another one.
    """
    mode = _Recorder(on_call, silenced)
    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda module, args, name=name: mode.enter(name)))
        handles.append(module.register_forward_hook(lambda module, args, output: mode.leave(), always_call=True))
    try:
        # Compiled modules call neither hooks nor modes.
        with torch.compiler.set_stance("force_eager"), mode:
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Knows which layer is running, and how often each has run."""

    def __init__(self, on_call: OnCall, silenced: bool):
        super().__init__()
        self._on_call, self._silenced = on_call, silenced
        self._running: str | None = None  # None too after the layer's first attention call
        self._calls: dict[str, int] = {}

    def enter(self, name: str) -> None:
        self._running = name
        self._calls[name] = self._calls.get(name, -1) + 1

    def leave(self) -> None:
        self._running = None

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping | None = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        if self._running is not None:
            name, self._running = self._running, None
            self._on_call(name, self._calls[name], _recorded(*args, **kwargs))
        if not self._silenced:
            return func(*args, **kwargs)
        given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        return given["query"].new_zeros(*given["query"].shape[:-1], given["value"].shape[-1])


def _recorded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> RecordedCall:
    """The signature is that of `scaled_dot_product_attention`."""
    if query.shape[1] != key.shape[1]:  # several heads of queries share a head of keys
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    if is_causal:
        attn_mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        attn_mask = attn_mask.reshape((1,) * (4 - attn_mask.ndim) + attn_mask.shape)
    return RecordedCall(query, key, attn_mask, scale)
