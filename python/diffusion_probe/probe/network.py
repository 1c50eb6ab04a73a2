"""The probe: a small CNN over early cross-attention maps and the timestep that predicts the finished image's quality.

One network is shared by all tokens; the tokens see each other at every place (which maps overlap, which place nobody claims)
and then as a sequence. Masked tokens and padding change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .manifest import Signal

# Probabilities span orders of magnitude; their logarithm, from this floor to 1, is brought to [-1, 1] beside the raw values.
LOG_FLOOR = 1e-4
RAW_SCALE = 4.0
PREVIEW, TOKEN_IDS = "preview", "token_ids"
EXTRA_SIGNALS = (PREVIEW, TOKEN_IDS)


@dataclass(frozen=True)
class ProbeConfig:
    """Sizes and inputs of a probe. `grid` is the side of the maps; `signals` are inputs beyond attention and timestep."""

    layers: int
    grid: int = 16
    width: int = 32
    token_width: int = 128
    mixers: int = 2
    heads: int = 4
    metric_range: tuple[float, float] = (0.0, 1.0)
    signals: tuple[str, ...] = ()
    vocabulary: int = 0  # token ids, where `token_ids` is among the signals
    preview_size: int = 64  # pixels, where `preview` is

    def as_dict(self) -> dict[str, Any]:
        """The fields, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ProbeConfig:
        """Read back what `as_dict` wrote."""
        return cls(**{**fields, "metric_range": tuple(fields["metric_range"]), "signals": tuple(fields["signals"])})

    def inputs(self) -> tuple[Signal, ...]:
        """The inputs of the exported graph, in the order of `Probe.forward`."""
        extra = {
            PREVIEW: Signal(PREVIEW, "F16", ("batch", 3, self.preview_size, self.preview_size)),
            TOKEN_IDS: Signal(TOKEN_IDS, "I64", ("batch", "tokens")),
        }
        return (
            Signal("attention", "F16", ("batch", self.layers, "tokens", self.grid, self.grid)),
            Signal("token_mask", "U8", ("batch", "tokens")),
            Signal("timestep", "F32", ("batch",)),
            *(extra[name] for name in self.signals),
        )


class Probe(nn.Module):
    """Attention, token mask, timestep and the declared signals to a score within the metric's range."""

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
        self.mixers = nn.ModuleList(Mixer(token_width, config.heads) for _ in range(config.mixers))
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
        uint8, 1 = real; `timestep` [batch] float32 in the backbone's own unit; `signals` as the configuration orders them.
        """
        extra = dict(zip(self.config.signals, signals, strict=True))
        batch, tokens = attention.shape[0], attention.shape[2]
        mask = token_mask.float()
        maps = attention.transpose(1, 2).flatten(0, 1).float()
        scale, shift, place = self.time(timestep_features(timestep)).split(
            [self.config.width, self.config.width, self.config.token_width], dim=1
        )
        x = self.stem_of(maps).unflatten(0, (batch, tokens))
        x = x * (1 + scale[:, None, :, None, None]) + shift[:, None, :, None, None]
        if PREVIEW in extra:
            x = x + self.preview(extra[PREVIEW].float())[:, None]
        x = self.fine(F.relu(x).flatten(0, 1)).unflatten(0, (batch, tokens))
        real = mask[:, :, None, None, None]
        others = torch.cat([(x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1), (x * real).amax(dim=1)], dim=1)
        x = F.relu(x + self.crowd(others)[:, None])
        x = self.coarse(F.relu(self.shrink(x.flatten(0, 1))))
        vectors = self.fold(x.flatten(1)).unflatten(0, (batch, tokens)) + place[:, None]
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

    def stem_of(self, maps: Tensor) -> Tensor:
        """The stem over the raw maps [n, layers, grid, grid] beside their logarithms: float32 [n, width, grid / 2, grid / 2].

        One convolution in as many pieces as ONNX Runtime's fast ones want: for nine layers that saves an eighth to a
        fifth of a run.
        """
        raw, logarithmic = self.stem.weight.split(self.config.layers, dim=1)
        weight = torch.cat([raw * RAW_SCALE, logarithmic], dim=1)
        sizes = fast_channels(weight.shape[1])
        channels = torch.cat([maps, log_scaled(maps)], dim=1).split(sizes, dim=1)
        steps = {"stride": self.stem.stride, "padding": self.stem.padding}
        biases = [self.stem.bias, *[None] * (len(sizes) - 1)]
        pieces = [
            F.conv2d(piece, part, bias, **steps)
            for piece, part, bias in zip(channels, weight.split(sizes, dim=1), biases, strict=True)
        ]
        return sum(pieces[1:], pieces[0])


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Mixer(nn.Module):
    """A transformer block over tokens."""

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
    """The logarithm of probabilities, from LOG_FLOOR to 1 brought to [-1, 1]."""
    span = -math.log(LOG_FLOOR)
    return probabilities.clamp(min=LOG_FLOOR).log() * (2 / span) + 1


def fast_channels(channels: int) -> list[int]:
    """Input channels cut into pieces that ONNX Runtime convolves fast with AVX2 and with AVX-512.

    Its fast convolutions (NCHWc) take a multiple of as many channels as a vector register holds floats, 8 or 16, or fewer.
    https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/nchwc_transformer.cc
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
    """Sines and cosines of each token's place among the real tokens: float32 [batch, tokens, width].

    Places are counted over real tokens, so that padding in front or between changes nothing.
    """
    half = width // 2
    places = mask.cumsum(dim=1)
    frequencies = torch.exp(-math.log(200.0) * torch.arange(half, device=mask.device) / half)
    angles = places[:, :, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=2)
