"""The whole softmax matrix of an attention call, in float64: softmax(query key^T * scale + mask)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def softmax(query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Float64 [rows, keys, queries], the mean over heads; one head at a time, since all matrices at once may need gigabytes.

    `query`, `key`: [rows, heads, length, head_dim]. `mask`: bool (true = attend) or added to the scores, broadcast to [rows,
    heads, queries, keys]. `scale`: None is 1 / sqrt(head_dim).
    """
    heads = query.shape[1]
    mask = None if mask is None else mask.expand(len(query), heads, query.shape[2], key.shape[2])
    total = query.new_zeros(len(query), query.shape[2], key.shape[2], dtype=torch.float64)
    for head in range(heads):
        scores = query[:, head].double() @ key[:, head].double().transpose(-1, -2)
        scores *= query.shape[-1] ** -0.5 if scale is None else scale
        if mask is not None:
            own = mask[:, head]
            scores = scores.masked_fill(~own, float("-inf")) if own.dtype == torch.bool else scores + own.double()
        total += scores.softmax(-1)
    return (total / heads).transpose(1, 2)


def pooled(maps: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Area means: [..., height * width] to [..., *grid]."""
    return F.adaptive_avg_pool2d(maps.unflatten(-1, size), grid)
