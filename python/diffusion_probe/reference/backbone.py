"""The reference backbone: a text encoder and a rectified-flow denoiser with text cross-attention at 16x16 and 8x8.

The image is folded into 16x16 cells of 48 channels; residual convolutions and cross-attention work on that grid,
transformer blocks on an 8x8 grid between them. Every cross-attention hands out its probabilities: what a probe reads.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .language import BEGIN_ID, MAX_TOKENS, PAD_ID, VOCABULARY

FOLD = 4  # pixels along one side of a cell
TIMESTEPS = 1000  # the timestep is the noise level times this, as in diffusers' flow-matching schedulers


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the backbone; the defaults are the reference's, tests take smaller ones."""

    image_size: int = 64
    grid_width: int = 128  # channels at 16x16
    core_width: int = 192  # channels at 8x8
    core_blocks: int = 5
    text_width: int = 192
    text_layers: int = 3
    heads: int = 4

    @property
    def grid(self) -> int:
        """Cells along one side of the fine grid."""
        return self.image_size // FOLD

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the cross-attention layers, in the order they run."""
        return ("down.0", "down.1", *(f"core.{i}" for i in range(self.core_blocks)), "up.0", "up.1")

    def as_dict(self) -> dict[str, int]:
        """The fields, for a checkpoint."""
        return asdict(self)


class TextEncoder(nn.Module):
    """Token ids [batch, tokens] and their mask to text states [batch, tokens, text_width]."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        width = config.text_width
        self.words = nn.Embedding(len(VOCABULARY), width)
        self.places = nn.Parameter(torch.randn(MAX_TOKENS, width) * 0.02)
        self.blocks = nn.ModuleList(TextBlock(width, config.heads) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        x = self.words(input_ids) + self.places[: input_ids.shape[1]]
        bias = mask_bias(text_mask, x.dtype)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


class TextBlock(nn.Module):
    """A pre-norm transformer block over tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = mlp(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        normed = self.norm_attention(x)
        x = x + self.attention(normed, bias)
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
        """Queries, keys and values, each [batch, heads, places, width / heads]."""
        batch, places, width = x.shape
        size = width // self.heads
        query = self.query(x).view(batch, places, self.heads, size).transpose(1, 2)
        key, value = self.key_value(context).view(batch, -1, 2, self.heads, size).permute(2, 0, 3, 1, 4)
        return query, key, value

    def join(self, mixed: Tensor) -> Tensor:
        """Heads [batch, heads, places, size] back to [batch, places, width]."""
        return self.out(mixed.transpose(1, 2).flatten(2))


class SelfAttention(Attention):
    """Attention of `x` to itself; `bias` is added to the scores."""

    def __init__(self, width: int, heads: int):
        super().__init__(width, width, heads)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        query, key, value = self.project(x, x)
        return self.join(probabilities_of(query, key, bias).to(value.dtype) @ value)


class CrossAttention(Attention):
    """Attention of `x` to the text; also returns its probabilities, float32 [batch, heads, places, tokens]."""

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.project(x, text)
        probabilities = probabilities_of(query, key, bias)
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


class Denoiser(nn.Module):
    """Predicts the velocity (noise minus image) of noisy latents, and what its cross-attention looked at."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        grid_width, core_width, text_width, heads = (
            config.grid_width,
            config.core_width,
            config.text_width,
            config.heads,
        )
        time_width = core_width
        channels = 3 * FOLD * FOLD
        self.time = nn.Sequential(nn.Linear(128, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.enter = nn.Conv2d(channels, grid_width, 3, padding=1)
        self.down = nn.ModuleList(GridBlock(grid_width, time_width, text_width, heads) for _ in range(2))
        self.shrink = nn.Conv2d(grid_width, core_width, 2, stride=2)
        self.places = nn.Parameter(torch.randn((config.grid // 2) ** 2, core_width) * 0.02)
        self.core = nn.ModuleList(CoreBlock(core_width, time_width, text_width, heads) for _ in range(config.core_blocks))
        self.grow = nn.ConvTranspose2d(core_width, grid_width, 2, stride=2)
        self.merge = nn.Conv2d(2 * grid_width, grid_width, 1)
        self.up = nn.ModuleList(GridBlock(grid_width, time_width, text_width, heads) for _ in range(2))
        self.leave = nn.Sequential(nn.GroupNorm(8, grid_width), nn.SiLU(), zero(nn.Conv2d(grid_width, channels, 3, padding=1)))

    def forward(self, latents: Tensor, timestep: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Velocity, shaped as `latents` [batch, 3, size, size]; per layer the probabilities [batch, heads, cells, tokens].

        `timestep` [batch] is the noise level times 1000; `text` is [batch, tokens, text_width]; `text_mask`
        [batch, tokens], 1 = real.
        """
        maps: list[Tensor] = []
        time = self.time(timestep_features(timestep))
        bias = mask_bias(text_mask, text.dtype)
        x = self.enter(F.pixel_unshuffle(latents, FOLD))
        for block in self.down:
            x, probabilities = block(x, time, text, bias)
            maps.append(probabilities)
        skip = x
        core = to_cells(self.shrink(x)) + self.places
        for block in self.core:
            core, probabilities = block(core, time, text, bias)
            maps.append(probabilities)
        x = self.merge(torch.cat([self.grow(to_grid(core, skip.shape[2] // 2)), skip], dim=1))
        for block in self.up:
            x, probabilities = block(x, time, text, bias)
            maps.append(probabilities)
        return F.pixel_shuffle(self.leave(x), FOLD), maps


class Backbone(nn.Module):
    """The text encoder and the denoiser together."""

    def __init__(self, config: BackboneConfig | None = None):
        super().__init__()
        self.config = config or BackboneConfig()
        self.text_encoder = TextEncoder(self.config)
        self.denoiser = Denoiser(self.config)

    def forward(self, latents: Tensor, timestep: Tensor, input_ids: Tensor) -> Tensor:
        """The velocity for captions given as padded token ids [batch, tokens]: what training needs."""
        mask = text_mask_of(input_ids)
        text = self.text_encoder(input_ids, mask)
        return self.denoiser(latents, timestep, text, mask)[0]


def text_mask_of(input_ids: Tensor) -> Tensor:
    """1 where a token is real, uint8, shaped as `input_ids`."""
    return (input_ids != PAD_ID).to(torch.uint8)


def pad_ids(captions: list[list[int]], length: int = MAX_TOKENS) -> Tensor:
    """Token ids of several captions, padded to one length: int64 [captions, length]."""
    padded = torch.full((len(captions), length), PAD_ID, dtype=torch.int64)
    for row, ids in enumerate(captions):
        padded[row, : len(ids)] = torch.tensor(ids)
    return padded


def unconditional_ids(batch: int, length: int) -> Tensor:
    """The empty caption: the begin token alone, padded."""
    return pad_ids([[BEGIN_ID]] * batch, length)


def probabilities_of(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Attention probabilities, float32 [batch, heads, places, keys].

    Written out for self-attention too: over so few cells the backward pass of PyTorch's fused kernel takes a fifth of a
    training step on a CPU.
    """
    scores = query @ key.transpose(2, 3) * key.shape[-1] ** -0.5
    return (scores if bias is None else scores + bias).float().softmax(dim=-1)


def timestep_features(timestep: Tensor, width: int = 128) -> Tensor:
    """Sines and cosines of a timestep in [0, 1000]: float32 [batch, width]."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=timestep.device) / half)
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to attention scores so that padding gets nothing: [batch, 1, 1, tokens]."""
    return ((1 - mask.to(dtype)) * -10_000.0)[:, None, None, :]


def to_cells(x: Tensor) -> Tensor:
    """[batch, channels, height, width] to [batch, cells, channels]."""
    return x.flatten(2).transpose(1, 2)


def to_grid(cells: Tensor, side: int) -> Tensor:
    """[batch, cells, channels] back to [batch, channels, side, side]."""
    return cells.transpose(1, 2).unflatten(2, (side, side))


def mlp(width: int) -> nn.Sequential:
    """Two linear layers with a hidden width four times as large."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))


def zero(module: nn.Module) -> nn.Module:
    """Start a residual branch at zero, so that a deep network begins as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
