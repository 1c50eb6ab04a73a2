"""Reduces queries and keys to the maps a probe sees: attention probabilities, mean over heads, pooled to a small grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_BYTES = 32 << 20  # of float32 scores at a time. See docs/adr/0011-capture-by-function-mode.md.
FLOAT_BYTES = 4


@dataclass(frozen=True)
class AttentionCall:
    """The arguments of one call of `scaled_dot_product_attention` that determine its probabilities."""

    query: Tensor  # [rows, heads, queries, head_dim]
    key: Tensor  # [rows, heads, keys, head_dim]
    mask: Tensor | None  # broadcasts to [rows, heads, queries, keys]; bool (true = attend) or added to the scores
    scale: float

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
