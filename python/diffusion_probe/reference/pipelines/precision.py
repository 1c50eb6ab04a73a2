"""The precision of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def training_precision(bfloat16: bool) -> Iterator[None]:
    """Within it products of matrices are of bfloat16 if asked for; weights, sums and losses stay float32.

    The gradient of PyTorch's flash attention is slow in bfloat16 on a CPU, so attention is then a product, a softmax and a
    product. See docs/adr/0049-small-pipelines-of-three-families.md.
    """
    if not bfloat16:
        yield
        return
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield
