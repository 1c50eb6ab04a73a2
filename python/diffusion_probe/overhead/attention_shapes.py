"""Finds the attention calls of a full-size denoiser, those that capture reads, and the arithmetic of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..capture.attention_hook import read_layers
from ..capture.reduction import AttentionCall
from ..families import choose_layers, family_of, text_layers
from ..families.layout import Layout
from ..tiny import tiny_pipeline
from .backbones import FULL_SIZE


@dataclass(frozen=True)
class AttentionShape:
    """The shape of one call of the attention kernel, for one row."""

    heads: int
    head_dim: int
    queries: int
    keys: int


@dataclass(frozen=True)
class AttentionShapes:
    """The attention calls of one row of a full-size denoiser, counted by shape."""

    attention: Mapping[AttentionShape, int]  # all calls
    captured: Mapping[AttentionShape, int]  # those of the layers that capture reads by default
    layouts: Mapping[AttentionShape, Layout]  # of the captured shapes
    text_layers: int  # layers in which image positions attend to text
    flops: int  # of the denoiser's matrix products and convolutions

    @property
    def captured_layers(self) -> int:
        """The number of captured layers."""
        return sum(self.captured.values())

    @property
    def capture_flops(self) -> int:
        """Operations of the attention scores of all captured layers; capture has no other matrix products."""
        return sum(
            2 * shape.heads * shape.head_dim * len(range(*self.layouts[shape].image.indices(shape.queries))) * shape.keys * count
            for shape, count in self.captured.items()
        )


def attention_shapes(name: str) -> AttentionShapes:
    """The attention calls of a backbone in `FULL_SIZE`, found by calling its denoiser on the meta device."""
    backbone = FULL_SIZE[name]
    pipe = tiny_pipeline(name)
    family = family_of(pipe)
    with torch.device("meta"):
        denoiser = backbone.denoiser()
        arguments = backbone.call()
    setattr(pipe, family.denoiser, denoiser)
    layers = text_layers(pipe)
    captured: dict[str, AttentionShape] = {}
    attention: list[AttentionShape] = []

    def record(layer: str, call: AttentionCall) -> None:
        captured[layer] = _shape(call.query, call.key)

    chosen = {layer: layers[layer] for layer in choose_layers(pipe, None)}
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _KernelCalls(attention.append), read_layers(chosen, record):
        denoiser(**arguments)
    with_values = backbone.call()
    layouts = {shape: family.layout(denoiser, with_values, (shape.queries, shape.keys)) for shape in set(captured.values())}
    return AttentionShapes(Counter(attention), Counter(captured.values()), layouts, len(layers), counter.get_total_flops())


class _KernelCalls(TorchFunctionMode):
    """Reports the shape of every call of `scaled_dot_product_attention`."""

    def __init__(self, report: Callable[[AttentionShape], None]):
        super().__init__()
        self._report = report

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key"), args[:2], strict=False)) | kwargs
            self._report(_shape(given["query"], given["key"]))
        return func(*args, **kwargs)


def _shape(query: torch.Tensor, key: torch.Tensor) -> AttentionShape:
    _, heads, queries, head_dim = query.shape
    return AttentionShape(heads, head_dim, queries, key.shape[2])
