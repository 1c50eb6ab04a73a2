"""Which attention a backbone of true size computes in a step, which part of it capture looks at, and how much that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..capture.attention_hook import AttentionHook
from ..capture.families import Layout, choose_layers, family_of, text_layers
from ..capture.reduction import AttentionCall
from ..tiny import tiny_pipeline
from .backbones import TRUE


@dataclass(frozen=True)
class AttentionShape:
    """One call of the attention kernel for one row."""

    heads: int
    head_dim: int
    queries: int
    keys: int


@dataclass(frozen=True)
class Shapes:
    """Of one row of a denoiser at its true size."""

    attention: Mapping[AttentionShape, int]  # all its calls, by shape
    watched: Mapping[AttentionShape, int]  # the layers that capture watches unless told otherwise
    layouts: Mapping[AttentionShape, Layout]  # of the watched
    text_layers: int  # in which the image looks at text
    operations: int  # of its matrix products and convolutions

    @property
    def watched_layers(self) -> int:
        """How many."""
        return sum(self.watched.values())

    @property
    def capture_operations(self) -> int:
        """Of the scores of all watched layers; the rest of capture has no matrix products."""
        return sum(
            2 * shape.heads * shape.head_dim * len(range(*self.layouts[shape].image.indices(shape.queries))) * shape.keys * count
            for shape, count in self.watched.items()
        )


def true_shapes(name: str) -> Shapes:
    """Of a backbone in `TRUE`, found by calling its denoiser without values."""
    backbone = TRUE[name]
    pipe = tiny_pipeline(name)
    family = family_of(pipe)
    with torch.device("meta"):
        denoiser = backbone.denoiser()
        arguments = backbone.call()
    setattr(pipe, family.denoiser, denoiser)
    layers = text_layers(pipe)
    seen: dict[str, AttentionShape] = {}
    every: list[AttentionShape] = []
    with torch.no_grad(), FlopCounterMode(display=False) as operations, _KernelCalls(every.append), ExitStack() as stack:
        for layer in choose_layers(pipe, None):
            stack.enter_context(AttentionHook(layer, _note(seen, layer)).attached(layers[layer]))
        denoiser(**arguments)
    with_values = backbone.call()
    layouts = {shape: family.layout(denoiser, with_values, (shape.queries, shape.keys)) for shape in set(seen.values())}
    return Shapes(Counter(every), Counter(seen.values()), layouts, len(layers), operations.get_total_flops())


class _KernelCalls(TorchFunctionMode):
    """Shows the shape of every call of `scaled_dot_product_attention`."""

    def __init__(self, look: Callable[[AttentionShape], None]):
        super().__init__()
        self._look = look

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key"), args[:2], strict=False)) | kwargs
            self._look(_shape(given["query"], given["key"]))
        return func(*args, **kwargs)


def _note(seen: dict[str, AttentionShape], layer: str) -> Callable[[AttentionCall], None]:
    def note(call: AttentionCall) -> None:
        seen[layer] = _shape(call.query, call.key)

    return note


def _shape(query: torch.Tensor, key: torch.Tensor) -> AttentionShape:
    _, heads, queries, head_dim = query.shape
    return AttentionShape(heads, head_dim, queries, key.shape[2])
