"""From queries and keys to what a probe sees: probabilities under the full softmax, mean over heads, pooled to a small grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_BYTES = 32 << 20  # of float32 scores at a time; the softmax needs about twice that again
FLOAT_BYTES = 4


@dataclass(frozen=True)
class AttentionCall:
    """The arguments of one call of `scaled_dot_product_attention`."""

    query: Tensor  # [rows, heads, queries, head_dim]
    key: Tensor  # [rows, heads, keys, head_dim]
    mask: Tensor | None  # broadcasts to [rows, heads, queries, keys]; bool (true = attend) or added to the scores
    scale: float

    def row(self, index: int, queries: slice) -> AttentionCall:
        """The same for one row and some of its queries; the row axis is gone."""
        mask = self.mask
        if mask is not None:
            mask = mask.expand(self.query.shape[0], *mask.shape[1:])[index]
            mask = mask[:, queries] if mask.shape[1] > 1 else mask
        return AttentionCall(self.query[index][:, queries], self.key[index], mask, self.scale)


@torch.no_grad()
def token_maps(call: AttentionCall, columns: Tensor, chunk_bytes: int = CHUNK_BYTES) -> Tensor:
    """Probabilities from each query to the keys in `columns`, mean over heads: float32 [columns, queries].

    `call` is that of one row. All keys take part in the softmax, also those that are not asked for: its denominator is a
    log-sum-exp over every key, taken chunk by chunk, so that no map of all heads, queries and keys ever exists.
    """
    heads, queries, _ = call.query.shape
    keys = call.key.shape[1]
    heads_at_once = max(1, min(heads, chunk_bytes // (queries * keys * FLOAT_BYTES)))
    queries_at_once = max(1, min(queries, chunk_bytes // (keys * FLOAT_BYTES)))
    sums = torch.zeros(len(columns), queries, device=call.query.device, dtype=torch.float32)
    # Under autocast the product would be taken in 16 bits again.
    with torch.autocast(call.query.device.type, enabled=False):
        for head in range(0, heads, heads_at_once):
            some_heads = slice(head, head + heads_at_once)
            keys_transposed = call.key[some_heads].float().transpose(1, 2)
            for start in range(0, queries, queries_at_once):
                some = slice(start, start + queries_at_once)
                scores = torch.matmul(call.query[some_heads, some].float() * call.scale, keys_transposed)
                _add_mask(scores, call.mask, some_heads, some)
                total = torch.logsumexp(scores, dim=-1, keepdim=True)
                probabilities = (scores[..., columns] - total).exp_()
                sums[:, some] += probabilities.sum(dim=0).T
    return sums / heads


def _add_mask(scores: Tensor, mask: Tensor | None, heads: slice, queries: slice) -> None:
    """Bring the mask, [1 or heads, 1 or queries, keys], into the scores of some heads and queries, in place."""
    if mask is None:
        return
    mask = mask[heads] if mask.shape[0] > 1 else mask
    mask = mask[:, queries] if mask.shape[1] > 1 else mask
    if mask.dtype == torch.bool:
        scores.masked_fill_(~mask, float("-inf"))
    else:
        scores += mask.float()


def pool(maps: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Area means over a coarser grid: [tokens, height * width] to [tokens, *grid]. A place's tokens still sum to one at most."""
    return F.adaptive_avg_pool2d(maps.unflatten(1, size), grid)
