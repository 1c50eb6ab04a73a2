"""The building blocks of the reference backbone: attention, transformer blocks and convolution blocks.

The names of their layers are keys of checkpoints and of the exported weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TextBlock(nn.Module):
    """A pre-norm transformer block over tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = mlp(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x), bias)
        return x + self.mlp(self.norm_mlp(x))


class Attention(nn.Module):
    """Multi-head attention: the projections that self-attention and cross-attention share."""

    def __init__(self, width: int, context_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context_width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def project(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [batch, heads, length, width / heads]."""
        batch, length, width = x.shape
        size = width // self.heads
        query = self.query(x).view(batch, length, self.heads, size).transpose(1, 2)
        key, value = self.key_value(context).view(batch, -1, 2, self.heads, size).permute(2, 0, 3, 1, 4)
        return query, key, value

    def join(self, mixed: Tensor) -> Tensor:
        """Heads [batch, heads, length, size] back to [batch, length, width]."""
        return self.out(mixed.transpose(1, 2).flatten(2))


class SelfAttention(Attention):
    """Attention of `x` to itself; `bias` is added to the scores."""

    def __init__(self, width: int, heads: int):
        super().__init__(width, width, heads)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        query, key, value = self.project(x, x)
        return self.join(attention_probabilities(query, key, bias).to(value.dtype) @ value)


class CrossAttention(Attention):
    """Attention of `x` to the text; also returns its probabilities, float32 [batch, heads, cells, tokens]."""

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.project(x, text)
        probabilities = attention_probabilities(query, key, bias)
        return self.join(probabilities.to(value.dtype) @ value), probabilities


class GridBlock(nn.Module):
    """At 16x16: a residual convolution block, modulated by the timestep, then cross-attention to the text."""

    def __init__(self, width: int, time_width: int, text_width: int, heads: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(time_width, 2 * width)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = zero(nn.Conv2d(width, width, 3, padding=1))
        self.norm_cross = nn.LayerNorm(width)
        self.cross = CrossAttention(width, text_width, heads)

    def forward(self, x: Tensor, time: Tensor, text: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.modulation(time)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        x = x + h
        attended, probabilities = self.cross(self.norm_cross(to_cells(x)), text, bias)
        return x + to_grid(attended, x.shape[2]), probabilities


class CoreBlock(nn.Module):
    """At 8x8: a transformer block (self-attention, cross-attention, MLP), modulated by the timestep."""

    def __init__(self, width: int, time_width: int, text_width: int, heads: int):
        super().__init__()
        self.norm_self = nn.LayerNorm(width, elementwise_affine=False)
        self.self_attention = SelfAttention(width, heads)
        self.norm_cross = nn.LayerNorm(width)
        self.cross = CrossAttention(width, text_width, heads)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = mlp(width)
        self.modulation = zero(nn.Linear(time_width, 6 * width))

    def forward(self, x: Tensor, time: Tensor, text: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(time)[:, None, :].chunk(6, dim=2)
        normed = self.norm_self(x) * (1 + scale1) + shift1
        x = x + (1 + gate1) * self.self_attention(normed)
        attended, probabilities = self.cross(self.norm_cross(x), text, bias)
        x = x + attended
        normed = self.norm_mlp(x) * (1 + scale2) + shift2
        return x + (1 + gate2) * self.mlp(normed), probabilities


def attention_probabilities(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Attention probabilities, float32 [batch, heads, queries, keys].

    Self-attention uses this too, instead of PyTorch's fused kernel.
    See docs/adr/0017-explicit-attention-in-the-reference-backbone.md.
    """
    scores = query @ key.transpose(2, 3) * key.shape[-1] ** -0.5
    return (scores if bias is None else scores + bias).float().softmax(dim=-1)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bias for attention scores that leaves padding a probability of 0: [batch, 1, 1, tokens]."""
    return ((1 - mask.to(dtype)) * -10_000.0)[:, None, None, :]


def to_cells(x: Tensor) -> Tensor:
    """[batch, channels, height, width] to [batch, cells, channels]."""
    return x.flatten(2).transpose(1, 2)


def to_grid(cells: Tensor, side: int) -> Tensor:
    """[batch, cells, channels] back to [batch, channels, side, side]."""
    return cells.transpose(1, 2).unflatten(2, (side, side))


def mlp(width: int) -> nn.Sequential:
    """Two linear layers with a hidden layer of four times the width."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))


def zero(module: nn.Module) -> nn.Module:
    """Initialise a module to zero, so that its residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
