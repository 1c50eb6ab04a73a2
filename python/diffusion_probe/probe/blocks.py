"""What the networks of a probe share: the base class, transformer blocks, and features of timesteps and positions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import EXTRA_SIGNALS, ProbeConfig

LOG_FLOOR = 1e-4  # smaller probabilities count as this one in a logarithm
MASKED = 1e4  # subtracted from what is masked before a maximum or a softmax


class Network(nn.Module):
    """A network of a probe. The names of its layers are keys of checkpoints and of exported weights.

    `forward(attention, token_mask, timestep, *signals)` returns scores within the metric's range, float32 [batch]. `attention` is
    [batch, layers, tokens, grid, grid] probabilities, float16 or float32; `token_mask` [batch, tokens] uint8, 1 = real;
    `timestep` [batch] float32 in the backbone's own unit; `signals` are in the order of `config.signals`.
    """

    def __init__(self, config: ProbeConfig):
        super().__init__()
        unknown = [name for name in config.signals if name not in EXTRA_SIGNALS]
        if unknown:
            raise ValueError(f"unknown signals {unknown}: expected some of {list(EXTRA_SIGNALS)}")
        self.config = config

    def outputs(self, *inputs: Tensor) -> Tensor:
        """What is trained: the scores, and with `config.preview_head` the metric of the preview; float32 [batch, outputs]."""
        return self(*inputs)[:, None]

    @torch.no_grad()
    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch], for arrays with the names, dtypes and shapes of `config.inputs()`."""
        device = next(self.parameters()).device
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])).to(device) for spec in self.config.inputs()]
        return self(*tensors).cpu().numpy()

    def in_range(self, logits: Tensor) -> Tensor:
        """Logits as scores within the metric's range."""
        low, high = self.config.metric_range
        return low + (high - low) * logits.sigmoid()


class Residual(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


def output_head(token_width: int) -> nn.Sequential:
    """From pooled features [batch, 2 * token_width] to a logit [batch, 1]."""
    return nn.Sequential(
        nn.LayerNorm(2 * token_width), nn.Linear(2 * token_width, token_width), nn.SiLU(), nn.Linear(token_width, 1)
    )


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


def pooled_tokens(vectors: Tensor, mask: Tensor) -> Tensor:
    """Mean and maximum over real tokens: [batch, 2 * width] of vectors [batch, tokens, width] and their mask [batch, tokens]."""
    seen = mask[:, :, None]
    mean = (vectors * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    return torch.cat([mean, (vectors * seen - (1 - seen) * MASKED).amax(dim=1)], dim=1)


def mask_bias(mask: Tensor) -> Tensor:
    """A bias for attention scores that leaves masked tokens a weight of 0: [batch, 1, 1, tokens]."""
    return (1 - mask)[:, None, None, :] * -MASKED


def log_scaled(probabilities: Tensor) -> Tensor:
    """The logarithm of probabilities, scaled so that LOG_FLOOR maps to -1 and 1 to 1."""
    span = -math.log(LOG_FLOOR)
    return probabilities.clamp(min=LOG_FLOOR).log() * (2 / span) + 1


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
