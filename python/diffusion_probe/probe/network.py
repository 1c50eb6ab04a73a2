"""The network `full`: a small CNN over early cross-attention maps and the timestep that predicts the finished image's quality.

The same convolutions run on every token's maps. Tokens exchange information twice: at each position of the grid, by mean and
maximum over tokens, and then as a sequence, by self-attention. Masked tokens do not change the score.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import (
    Network,
    Residual,
    TransformerBlock,
    log_scaled,
    mask_bias,
    output_head,
    pooled_tokens,
    sequence_features,
    timestep_features,
)
from .config import GUIDANCE_DIFFERENCE, PREVIEW, TOKEN_IDS, ProbeConfig
from .preview import PreviewLook, preview_stem

RAW_SCALE = 4.0  # factor of the raw channels beside the logarithmic ones, which lie in [-1, 1]


class Probe(Network):
    """The network that reads every signal; see `Network` for its inputs."""

    def __init__(self, config: ProbeConfig):
        super().__init__(config)
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
        self.head = output_head(token_width)
        if PREVIEW in config.signals:
            self.preview = preview_stem(config)
            if config.preview_width:
                self.look = PreviewLook(config.preview_width, token_width, config.heads)
            if config.preview_head:
                self.preview_head = output_head(token_width)
        if TOKEN_IDS in config.signals:
            self.words = nn.Embedding(config.vocabulary, token_width)
        if GUIDANCE_DIFFERENCE in config.signals:
            self.guidance = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, token_width))

    def forward(self, attention: Tensor, token_mask: Tensor, timestep: Tensor, *signals: Tensor) -> Tensor:
        """Scores, float32 [batch].

        The signals are `preview` [batch, 3, preview_size, preview_size] in [-1, 1], `token_ids` [batch, tokens] int64 and
        `guidance_difference` [batch] float32, above 0.
        """
        return self.in_range(self.head(self._pooled(attention, token_mask, timestep, *signals))[:, 0])

    def outputs(self, *inputs: Tensor) -> Tensor:
        pooled = self._pooled(*inputs)
        heads = [self.head, self.preview_head] if self.config.preview_head else [self.head]
        return self.in_range(torch.cat([head(pooled) for head in heads], dim=1))

    def _pooled(self, attention: Tensor, token_mask: Tensor, timestep: Tensor, *signals: Tensor) -> Tensor:
        """Features of the samples, float32 [batch, 2 * token_width]."""
        extra = dict(zip(self.config.signals, signals, strict=True))
        batch, tokens = attention.shape[0], attention.shape[2]
        mask = token_mask.float()
        maps = attention.transpose(1, 2).flatten(0, 1).float()
        scale, shift, token_shift = self.time(timestep_features(timestep)).split(
            [self.config.width, self.config.width, self.config.token_width], dim=1
        )
        x = self.apply_stem(maps).unflatten(0, (batch, tokens))
        x = x * (1 + scale[:, None, :, None, None]) + shift[:, None, :, None, None]
        preview = extra.get(PREVIEW)
        if preview is not None:
            x = x + self.preview(preview.float())[:, None]
        x = self.fine(F.relu(x).flatten(0, 1)).unflatten(0, (batch, tokens))
        real = mask[:, :, None, None, None]
        pooled = torch.cat([(x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1), (x * real).amax(dim=1)], dim=1)
        x = F.relu(x + self.crowd(pooled)[:, None])
        x = self.coarse(F.relu(self.shrink(x.flatten(0, 1))))
        vectors = self.fold(x.flatten(1)).unflatten(0, (batch, tokens)) + token_shift[:, None]
        vectors = vectors + sequence_features(mask, self.config.token_width)
        if TOKEN_IDS in extra:
            vectors = vectors + self.words(extra[TOKEN_IDS])
        if GUIDANCE_DIFFERENCE in extra:
            vectors = vectors + self.guidance(extra[GUIDANCE_DIFFERENCE].clamp(min=1e-9).log()[:, None])[:, None]
        if preview is not None and self.config.preview_width:
            vectors = self.look(vectors, preview.float())
        bias = mask_bias(mask)
        for mixer in self.mixers:
            vectors = mixer(vectors, bias)
        return pooled_tokens(vectors, mask)

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


def fast_channels(channels: int) -> list[int]:
    """Split a number of input channels into sizes for which ONNX Runtime has fast convolutions.

    Its NCHWc convolutions need fewer channels than a vector register holds floats (8 with AVX2, 16 with AVX-512), or a
    multiple of that. https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/nchwc_transformer.cc
    """
    sixteens, rest = channels // 16 * 16, channels % 16
    return [size for size in (sixteens, rest // 8 * 8, rest % 8) if size > 0]
