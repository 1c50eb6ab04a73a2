"""The reference backbone: a text encoder, and a rectified-flow denoiser with cross-attention to the text at 16x16 and 8x8.

The denoiser folds the image into 16x16 cells of 48 channels. Convolutions with cross-attention work on that grid, transformer
blocks on an 8x8 grid between them. Every cross-attention returns its probabilities, which a probe reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import CoreBlock, GridBlock, TextBlock, mask_bias, to_cells, to_grid, zero
from .vocabulary import BEGIN_ID, MAX_TOKENS, PAD_ID, PARAPHRASE_WORDS, TOKEN_IDS, VOCABULARY

FOLD = 4  # pixels per side of a cell
TIMESTEPS = 1000  # a timestep is the noise level times this, as in the flow-matching schedulers of diffusers


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the backbone."""

    image_size: int = 64
    grid_width: int = 128  # channels at 16x16
    core_width: int = 192  # channels at 8x8
    core_blocks: int = 5
    text_width: int = 192
    text_layers: int = 3
    heads: int = 4
    vocabulary: int = len(VOCABULARY)  # the first so many words

    @property
    def grid(self) -> int:
        """Cells per side of the fine grid."""
        return self.image_size // FOLD

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the cross-attention layers, in the order of computation."""
        return ("down.0", "down.1", *(f"core.{i}" for i in range(self.core_blocks)), "up.0", "up.1")


class TextEncoder(nn.Module):
    """Token ids [batch, tokens] and their mask to text states [batch, tokens, text_width]."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        width = config.text_width
        self.words = nn.Embedding(config.vocabulary, width)
        self.places = nn.Parameter(torch.randn(MAX_TOKENS, width) * 0.02)
        self.blocks = nn.ModuleList(TextBlock(width, config.heads) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        x = self.words(input_ids) + self.places[: input_ids.shape[1]]
        bias = mask_bias(text_mask, x.dtype)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


class Denoiser(nn.Module):
    """Predicts the velocity (noise minus image) of noisy latents; also returns its cross-attention maps."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        grid_width, core_width = config.grid_width, config.core_width
        time_width = core_width
        conditioning = (time_width, config.text_width, config.heads)
        channels = 3 * FOLD * FOLD
        self.time = nn.Sequential(nn.Linear(128, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.enter = nn.Conv2d(channels, grid_width, 3, padding=1)
        self.down = nn.ModuleList(GridBlock(grid_width, *conditioning) for _ in range(2))
        self.shrink = nn.Conv2d(grid_width, core_width, 2, stride=2)
        self.places = nn.Parameter(torch.randn((config.grid // 2) ** 2, core_width) * 0.02)
        self.core = nn.ModuleList(CoreBlock(core_width, *conditioning) for _ in range(config.core_blocks))
        self.grow = nn.ConvTranspose2d(core_width, grid_width, 2, stride=2)
        self.merge = nn.Conv2d(2 * grid_width, grid_width, 1)
        self.up = nn.ModuleList(GridBlock(grid_width, *conditioning) for _ in range(2))
        self.leave = nn.Sequential(nn.GroupNorm(8, grid_width), nn.SiLU(), zero(nn.Conv2d(grid_width, channels, 3, padding=1)))

    def forward(self, latents: Tensor, timestep: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Velocity, shaped like `latents` [batch, 3, size, size]; per layer the attention [batch, heads, cells, tokens].

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
        """The velocity for captions given as padded token ids [batch, tokens]."""
        mask = text_mask_of(input_ids)
        text = self.text_encoder(input_ids, mask)
        return self.denoiser(latents, timestep, text, mask)[0]


def with_whole_vocabulary(backbone: Backbone) -> Backbone:
    """A copy with an embedding of every word. That of a new word is at first the one of the known word in `PARAPHRASE_WORDS`."""
    state = dict(backbone.state_dict())
    known = state["text_encoder.words.weight"]
    rows = [known[TOKEN_IDS[PARAPHRASE_WORDS[word]]] for word in VOCABULARY[backbone.config.vocabulary :]]
    grown = Backbone(replace(backbone.config, vocabulary=len(VOCABULARY)))
    grown.load_state_dict({**state, "text_encoder.words.weight": torch.stack([*known, *rows])})
    return grown


def text_mask_of(input_ids: Tensor) -> Tensor:
    """1 for real tokens, 0 for padding: uint8, shaped like `input_ids`."""
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


def timestep_features(timestep: Tensor, width: int = 128) -> Tensor:
    """Sines and cosines of a timestep in [0, 1000]: float32 [batch, width]."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=timestep.device) / half)
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
