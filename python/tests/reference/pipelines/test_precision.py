"""Within a training step of bfloat16, products are short and losses are not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from diffusion_probe.reference.pipelines.precision import training_precision


def test_products_are_of_bfloat16_and_losses_of_float32() -> None:
    layer, x = nn.Linear(8, 8), torch.randn(4, 8)
    with training_precision(bfloat16=True):
        product = layer(x)
        loss = F.mse_loss(product, x)
    assert (product.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    loss.backward()
    assert layer.weight.grad.dtype == torch.float32
    with training_precision(bfloat16=False):
        assert layer(x).dtype == torch.float32


def test_attention_is_the_same_but_for_rounding() -> None:
    query, key, value = torch.randn(3, 2, 4, 16, 32)
    exact = F.scaled_dot_product_attention(query, key, value)
    with training_precision(bfloat16=True):
        short = F.scaled_dot_product_attention(query, key, value)
    assert short.dtype == torch.bfloat16
    torch.testing.assert_close(short.float(), exact, atol=0.05, rtol=0.05)
