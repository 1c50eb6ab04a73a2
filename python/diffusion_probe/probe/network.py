"""The probe: a small CNN over early cross-attention maps and the timestep that predicts the finished image's quality.

The same convolutions run on every token's maps. Tokens exchange information twice: at each position of the grid, by mean and
maximum over tokens, and then as a sequence, by self-attention. Masked tokens do not change the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import EXTRA_SIGNALS, PREVIEW, TOKEN_IDS, ProbeConfig

LOG_FLOOR = 1e-4  # smaller probabilities count as this one in the logarithmic channels
RAW_SCALE = 4.0  # factor of the raw channels beside the logarithmic ones, which lie in [-1, 1]


class Probe(nn.Module):
    """Predicts a score within the metric's range. The names of its layers are keys of checkpoints and of exported weights."""

    def __init__(self, config: ProbeConfig):
        super().__init__()
        unknown = [name for name in config.signals if name not in EXTRA_SIGNALS]
        if unknown:
            raise ValueError(f"unknown signals {unknown}: expected some of {list(EXTRA_SIGNALS)}")
        self.config = config
        width, token_width = config.width, config.token_width
        side = config.grid // 4
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 2 * width + token_width))
        self.stem = nn.Conv2d(2 * config.layers, width, 4, stride=2, padding=1)
        self.fine = Residual(width)
        self.crowd = nn.Conv2d(2 * width, width, 1)
        self.shrink = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.coarse = Residual(2 * width)
        self.fold = nn.Linear(2 * width * side * side, token_width)
        self.mixers = nn.ModuleList(TransformerBlock(token_width, config.heads) for _ in range(config.mixers))
        self.head = nn.Sequential(
            nn.LayerNorm(2 * token_width), nn.Linear(2 * token_width, token_width), nn.SiLU(), nn.Linear(token_width, 1)
        )
        if PREVIEW in config.signals:
            stride = config.preview_size // (config.grid // 2) // 2
            self.preview = nn.Sequential(
                nn.Conv2d(3, width, stride, stride=stride), nn.ReLU(), nn.Conv2d(width, width, 4, stride=2, padding=1)
            )
        if TOKEN_IDS in config.signals:
            self.words = nn.Embedding(config.vocabulary, token_width)

    def forward(self, attention: Tensor, token_mask: Tensor, timestep: Tensor, *signals: Tensor) -> Tensor:
        """Scores, float32 [batch].

        `attention` [batch, layers, tokens, grid, grid] probabilities, float16 or float32; `token_mask` [batch, tokens]
        uint8, 1 = real; `timestep` [batch] float32 in the backbone's own unit; `signals` in the order of `config.signals`:
        `preview` [batch, 3, preview_size, preview_size] in [-1, 1], `token_ids` [batch, tokens] int64.
        """
        extra = dict(zip(self.config.signals, signals, strict=True))
        batch, tokens = attention.shape[0], attention.shape[2]
        mask = token_mask.float()
        maps = attention.transpose(1, 2).flatten(0, 1).float()
        scale, shift, token_shift = self.time(timestep_features(timestep)).split(
            [self.config.width, self.config.width, self.config.token_width], dim=1
        )
        x = self.apply_stem(maps).unflatten(0, (batch, tokens))
        x = x * (1 + scale[:, None, :, None, None]) + shift[:, None, :, None, None]
        if PREVIEW in extra:
            x = x + self.preview(extra[PREVIEW].float())[:, None]
        x = self.fine(F.relu(x).flatten(0, 1)).unflatten(0, (batch, tokens))
        real = mask[:, :, None, None, None]
        pooled = torch.cat([(x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1), (x * real).amax(dim=1)], dim=1)
        x = F.relu(x + self.crowd(pooled)[:, None])
        x = self.coarse(F.relu(self.shrink(x.flatten(0, 1))))
        vectors = self.fold(x.flatten(1)).unflatten(0, (batch, tokens)) + token_shift[:, None]
        vectors = vectors + sequence_features(mask, self.config.token_width)
        if TOKEN_IDS in extra:
            vectors = vectors + self.words(extra[TOKEN_IDS])
        bias = (1 - mask)[:, None, None, :] * -10_000.0
        for mixer in self.mixers:
            vectors = mixer(vectors, bias)
        seen = mask[:, :, None]
        pooled = torch.cat(
            [
                (vectors * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1),
                (vectors * seen - (1 - seen) * 1e4).amax(dim=1),
            ],
            dim=1,
        )
        low, high = self.config.metric_range
        return low + (high - low) * self.head(pooled)[:, 0].sigmoid()

    @torch.no_grad()
    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch], for arrays with the names, dtypes and shapes of `config.inputs()`."""
        device = next(self.parameters()).device
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])).to(device) for spec in self.config.inputs()]
        return self(*tensors).cpu().numpy()

    def apply_stem(self, maps: Tensor) -> Tensor:
        """Convolve raw maps [n, layers, grid, grid] and their logarithms: float32 [n, width, grid / 2, grid / 2].

        The convolution is a sum over slices of its input channels, which ONNX Runtime computes faster.
        See docs/adr/0015-split-the-probes-first-convolution.md.
        """
        raw, logarithmic = self.stem.weight.split(self.config.layers, dim=1)
        weight = torch.cat([raw * RAW_SCALE, logarithmic], dim=1)
        sizes = fast_channels(weight.shape[1])
        channels = torch.cat([maps, log_scaled(maps)], dim=1).split(sizes, dim=1)
        steps = {"stride": self.stem.stride, "padding": self.stem.padding}
        biases = [self.stem.bias, *[None] * (len(sizes) - 1)]
        slices = zip(channels, weight.split(sizes, dim=1), biases, strict=True)
        sums = [F.conv2d(x, slice_weight, bias, **steps) for x, slice_weight, bias in slices]
        return sum(sums[1:], sums[0])


class Residual(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class TransformerBlock(nn.Module):
    """A pre-norm transformer block over tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        size = width // self.heads
        projected = self.query_key_value(self.norm_attention(x))
        query, key, value = projected.view(batch, tokens, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(2, 3) * size**-0.5 + bias).softmax(dim=-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x))


def log_scaled(probabilities: Tensor) -> Tensor:
    """The logarithm of probabilities, scaled so that LOG_FLOOR maps to -1 and 1 to 1."""
    span = -math.log(LOG_FLOOR)
    return probabilities.clamp(min=LOG_FLOOR).log() * (2 / span) + 1


def fast_channels(channels: int) -> list[int]:
    """Split a number of input channels into sizes for which ONNX Runtime has fast convolutions.

    Its NCHWc convolutions need fewer channels than a vector register holds floats (8 with AVX2, 16 with AVX-512), or a
    multiple of that. https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/nchwc_transformer.cc
    """
    sixteens, rest = channels // 16 * 16, channels % 16
    return [size for size in (sixteens, rest // 8 * 8, rest % 8) if size > 0]


def timestep_features(timestep: Tensor, width: int = 32) -> Tensor:
    """Sines and cosines of a timestep in [0, 1000]: float32 [batch, width]."""
    half = width // 2
    frequencies = torch.exp(-math.log(1000.0) * torch.arange(half, device=timestep.device) / half) / 20
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def sequence_features(mask: Tensor, width: int) -> Tensor:
    """Sines and cosines of each token's position: float32 [batch, tokens, width].

    Positions count real tokens alone, so padding before or between them does not change the score.
    """
    half = width // 2
    positions = mask.cumsum(dim=1)
    frequencies = torch.exp(-math.log(200.0) * torch.arange(half, device=mask.device) / half)
    angles = positions[:, :, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=2)
