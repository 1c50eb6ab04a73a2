"""Reduces queries and keys to the maps a probe sees: attention probabilities, mean over heads, pooled to a small grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..families.errors import CaptureError
from ..families.layout import Layout, Lengths, layout_by_ratio
from ..families.tokens import TOKENS
from .ranks import Spread

# What this package reads and how it reduces it. It cannot capture for a probe that was trained on anything else.
REDUCTIONS = {"heads": "mean", "tokens": TOKENS, "pooling": "area", "forward": "conditional", "precision": "float16"}
CHUNK_BYTES = 32 << 20  # of float32 scores at a time. See docs/adr/0011-capture-by-function-mode.md.
FLOAT_BYTES = 4


def require_supported(stated: Mapping[str, Any]) -> None:
    """Raises CaptureError if a probe's capture states a reduction that this package does not make."""
    for name, supported in REDUCTIONS.items():
        if stated.get(name, supported) != supported:
            raise CaptureError(f"the probe's {name} are {stated[name]!r}: expected {supported!r}")


@dataclass(frozen=True)
class AttentionCall:
    """The arguments of one call of `scaled_dot_product_attention` that determine its probabilities."""

    query: Tensor  # [rows, heads, queries, head_dim]
    key: Tensor  # [rows, heads, keys, head_dim]
    mask: Tensor | None  # broadcasts to [rows, heads, queries, keys]; bool (true = attend) or added to the scores
    scale: float

    @classmethod
    def of(cls, query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> AttentionCall:
        """As `scaled_dot_product_attention` takes them: a mask may have fewer axes; without a scale it is 1 / sqrt(head_dim)."""
        if mask is not None:
            mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        return cls(query, key, mask, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)

    @property
    def lengths(self) -> Lengths:
        """The numbers of queries and keys."""
        return self.query.shape[-2], self.key.shape[-2]

    def row(self, index: int, queries: slice) -> AttentionCall:
        """The call of one row and some of its queries. The row axis is removed."""
        mask = self.mask
        if mask is not None:
            mask = mask.expand(self.query.shape[0], *mask.shape[1:])[index]
            mask = mask[:, queries] if mask.shape[1] > 1 else mask
        return AttentionCall(self.query[index][:, queries], self.key[index], mask, self.scale)


@torch.no_grad()
def token_maps(call: AttentionCall, columns: Tensor, chunk_bytes: int = CHUNK_BYTES) -> Tensor:
    """Probabilities from each query to the keys `columns`, mean over heads: float32 [columns, queries], in [0, 1].

    `call`: of one row. softmax(QK^T * scale + mask) runs over all keys. It is computed for some heads and queries at a time:
    the memory needed is a small multiple of `chunk_bytes` at any resolution.
    """
    heads, queries, _ = call.query.shape
    keys = call.key.shape[1]
    heads_at_once = max(1, min(heads, chunk_bytes // (queries * keys * FLOAT_BYTES)))
    queries_at_once = max(1, min(queries, chunk_bytes // (keys * FLOAT_BYTES)))
    sums = torch.zeros(len(columns), queries, device=call.query.device, dtype=torch.float32)
    # Autocast would compute the product in 16 bits.
    with torch.autocast(call.query.device.type, enabled=False):
        for head in range(0, heads, heads_at_once):
            head_slice = slice(head, head + heads_at_once)
            keys_transposed = call.key[head_slice].float().transpose(1, 2)
            for query in range(0, queries, queries_at_once):
                query_slice = slice(query, query + queries_at_once)
                scores = torch.matmul(call.query[head_slice, query_slice].float() * call.scale, keys_transposed)
                _add_mask(scores, call.mask, head_slice, query_slice)
                log_sum = torch.logsumexp(scores, dim=-1, keepdim=True)
                probabilities = (scores[..., columns] - log_sum).exp_()
                sums[:, query_slice] += probabilities.sum(dim=0).T
    return sums / heads


def _add_mask(scores: Tensor, mask: Tensor | None, heads: slice, queries: slice) -> None:
    """Apply the mask, [1 or heads, 1 or queries, keys], to the scores of some heads and queries, in place."""
    if mask is None:
        return
    mask = mask[heads] if mask.shape[0] > 1 else mask
    mask = mask[:, queries] if mask.shape[1] > 1 else mask
    if mask.dtype == torch.bool:
        scores.masked_fill_(~mask, float("-inf"))
    else:
        scores += mask.float()


def pool(maps: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Area means: [tokens, height * width] to [tokens, *grid]. The sum over tokens stays at most 1 at every position."""
    return F.adaptive_avg_pool2d(maps.unflatten(1, size), grid)


@dataclass(frozen=True)
class PromptRow:
    """A row of an attention call that sees the prompt."""

    row: int
    layout: Layout
    keys: np.ndarray  # int64 [tokens], those of its prompt's tokens


Reduce = Callable[[AttentionCall, Sequence[PromptRow], int, tuple[int, int], Spread | None], Tensor]
"""How the rows of a call become maps: see reduce_rows."""


@torch.no_grad()
def reduce_rows(
    attention: AttentionCall, rows: Sequence[PromptRow], tokens: int, grid: tuple[int, int], spread: Spread | None = None
) -> Tensor:
    """Maps of some rows of a call: float16 [rows, tokens, *grid], zeros where a row has fewer tokens than another.

    `spread`: how the attention is spread over ranks.
    """
    device = attention.query.device
    maps = torch.zeros(len(rows), tokens, *grid, dtype=torch.float16, device=device)
    for index, row in enumerate(rows):
        own = token_maps(attention.row(row.row, row.layout.image), torch.from_numpy(row.keys).to(device))
        maps[index, : len(row.keys)] = pool(spread.complete(own) if spread else own, row.layout.size, grid)
    return maps


def attention_maps(
    query: Tensor,
    key: Tensor,
    text: Sequence[int],
    scale: float | None = None,
    mask: Tensor | None = None,
    *,
    size: tuple[int, int],
    text_block: tuple[int, int] | None = None,
    grid: tuple[int, int] = (16, 16),
    spread: Spread | None = None,
) -> Tensor:
    """The maps of one layer: float16 [rows, tokens, *grid], probabilities in [0, 1], mean over heads, pooled by area.

    `query`, `key`: [rows, heads, length, head_dim]. `text`: the text positions of the prompt's tokens. `scale` and `mask`: as in
    `scaled_dot_product_attention`. `size`: height and width of the image in any unit, for their ratio. `text_block`: where the
    text stands among queries and keys, from and to, in joint attention; None: all keys are text, and all queries the image.
    `spread`: how the attention is spread over ranks; each rank returns the whole maps.
    The memory needed beside queries and keys is a small multiple of CHUNK_BYTES. Raises CaptureError where the shapes do not fit.
    """
    attention = AttentionCall.of(query, key, mask, scale)
    layout = layout_by_ratio(size, text_block, attention.lengths, spread.parts_of_image if spread else 1)
    keys = layout.keys(np.asarray(text, np.int64))
    return reduce_rows(attention, [PromptRow(row, layout, keys) for row in range(len(query))], len(keys), grid, spread)
