"""The chunked softmax equals the whole one, with every kind of mask, and its memory is bounded."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from diffusion_probe.capture.reduction import AttentionCall, pool, token_maps

# FLUX.1 at 1024 x 1024: 4096 image and 512 text positions, head size 128. Peak memory does not depend on the number of heads.
MEASURE = """
import resource, torch
from diffusion_probe.capture.reduction import AttentionCall, token_maps
torch.set_num_threads(1)
query, key = (torch.randn(2, length, 128, dtype=torch.bfloat16) for length in (4096, 4608))
call = AttentionCall(query, key, None, 128**-0.5)
columns = torch.arange(512)
token_maps(AttentionCall(query[:, :64], key[:, :64], None, 1.0), columns[:8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
token_maps(call, columns)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
MEMORY_LIMIT_KILOBYTES = 200_000


def call(mask: torch.Tensor | None = None) -> AttentionCall:
    """One row: 3 heads, 10 queries, 7 keys."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(3, 10, 4, generator=generator), torch.randn(3, 7, 4, generator=generator)
    return AttentionCall(query, key, mask, 0.5)


def whole(call: AttentionCall) -> torch.Tensor:
    scores = (call.query @ call.key.transpose(1, 2)).double() * call.scale
    if call.mask is not None:
        scores = scores.masked_fill(~call.mask, float("-inf")) if call.mask.dtype == torch.bool else scores + call.mask
    return scores.softmax(-1).mean(0).T


@pytest.mark.parametrize("chunk_bytes", [1, 28, 100, 300, 1 << 20])
@pytest.mark.parametrize("kind", ["none", "keys", "added", "per head and query"])
def test_chunked_softmax_equals_the_whole_softmax(chunk_bytes: int, kind: str) -> None:
    keys = torch.tensor([True] * 5 + [False, True])
    mask = {
        "none": None,
        "keys": keys[None, None],
        "added": torch.where(keys, 0.0, -1e4)[None, None],
        "per head and query": (torch.rand(3, 10, 7, generator=torch.Generator().manual_seed(1)) < 0.8) | (keys & False),
    }[kind]
    one = call(mask)
    columns = torch.tensor([0, 4, 5])
    torch.testing.assert_close(token_maps(one, columns, chunk_bytes), whole(one)[columns].float(), atol=1e-6, rtol=1e-5)


def test_autocast_does_not_reduce_the_precision() -> None:
    one = call()
    with torch.autocast("cpu", torch.bfloat16):
        inside = token_maps(one, torch.arange(7))
    assert torch.equal(inside, token_maps(one, torch.arange(7)))


def test_a_row_has_its_own_mask_and_its_image_queries() -> None:
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 3:] = False
    query, key = torch.randn(2, 3, 10, 4), torch.randn(2, 3, 7, 4)
    row = AttentionCall(query, key, mask, 0.5).row(1, slice(4, 10))
    maps = token_maps(row, torch.arange(7))
    assert maps.shape == (7, 6)
    assert not maps[3:].any()
    torch.testing.assert_close(maps.sum(0), torch.ones(6))


def test_pooling_keeps_the_sum_over_tokens_even_on_a_finer_grid() -> None:
    maps = torch.rand(5, 6 * 9).softmax(0)
    for grid in ((4, 4), (16, 16)):
        pooled = pool(maps, (6, 9), grid)
        assert pooled.shape == (5, *grid)
        torch.testing.assert_close(pooled.sum(0), torch.ones(grid))


def test_memory_stays_small_at_full_size() -> None:
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert int(result.stdout) < MEMORY_LIMIT_KILOBYTES
