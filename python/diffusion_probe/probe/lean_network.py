"""The network `lean`: attention and the timestep alone, in a fraction of the time of `full`.

At this size, passes over memory cost as much as multiplications. So the maps are pooled before the logarithm, no raw maps are
read, the features of all tokens are joined where they are smallest, and the timestep enters there.
See docs/adr/0038-the-student-network.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import (
    LOG_FLOOR,
    Network,
    TransformerBlock,
    mask_bias,
    output_head,
    pooled_tokens,
    sequence_features,
    timestep_features,
)
from .config import ProbeConfig

SIDE = 8  # of the maps that the convolutions see
MIDDLE = 4.6  # minus the logarithm of the probability in the middle of the range, 0.01


class LeanProbe(Network):
    """The network of the distilled probe; see `Network` for its inputs."""

    def __init__(self, config: ProbeConfig):
        super().__init__(config)
        if config.signals:
            raise ValueError(f"the network lean reads attention alone, not {', '.join(config.signals)}")
        if config.grid % SIDE:
            raise ValueError(f"maps of {config.grid}x{config.grid}: the network lean needs a grid divisible by {SIDE}")
        width, token_width = config.width, config.token_width
        cells = (SIDE // 2) ** 2
        self.stem = nn.Conv2d(config.layers, width, 3, padding=1)
        self.shrink = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.crowd = nn.Conv2d(4 * width, 2 * width, 1)
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 2 * width + token_width))
        self.fold = nn.Linear(2 * width * cells, token_width)
        self.mixers = nn.ModuleList(TransformerBlock(token_width, config.heads) for _ in range(config.mixers))
        self.head = output_head(token_width)
        with torch.no_grad():
            self.stem.weight.div_(MIDDLE)  # its input spans -MIDDLE to MIDDLE

    def forward(self, attention: Tensor, token_mask: Tensor, timestep: Tensor) -> Tensor:
        batch, tokens = attention.shape[0], attention.shape[2]
        mask = token_mask.float()
        x = pooled_maps(attention).transpose(1, 2).flatten(0, 1)
        x = x.clamp(min=LOG_FLOOR).log() + MIDDLE
        x = F.relu(self.shrink(F.relu(self.stem(x)))).unflatten(0, (batch, tokens))
        now, token_shift = self.time(timestep_features(timestep)).split([2 * self.config.width, self.config.token_width], dim=1)
        seen = x * mask[:, :, None, None, None]
        count = mask.sum(dim=1).clamp(min=1)[:, None, None, None]
        crowd = self.crowd(torch.cat([seen.sum(dim=1) / count, seen.amax(dim=1)], dim=1)) + now[:, :, None, None]
        x = F.relu(x + crowd[:, None]).flatten(2)
        vectors = self.fold(x) + token_shift[:, None] + sequence_features(mask, self.config.token_width)
        bias = mask_bias(mask)
        for mixer in self.mixers:
            vectors = mixer(vectors, bias)
        return self.in_range(self.head(pooled_tokens(vectors, mask))[:, 0])


def pooled_maps(attention: Tensor) -> Tensor:
    """Maps [batch, layers, tokens, grid, grid] as float32 [batch, layers, tokens, SIDE, SIDE], the means of square blocks.

    The mean is a product with a matrix, which ONNX Runtime computes faster than a pooling of so small maps.
    """
    grid = attention.shape[-1]
    if grid == SIDE:
        return attention.float()
    factor = grid // SIDE
    block = torch.eye(SIDE, device=attention.device).repeat_interleave(factor, dim=0) / factor  # [grid, SIDE]
    matrix = torch.kron(block, block)  # [grid * grid, SIDE * SIDE]
    return (attention.float().flatten(3) @ matrix).unflatten(3, (SIDE, SIDE))
