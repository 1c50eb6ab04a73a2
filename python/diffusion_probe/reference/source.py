"""The reference world as a source of training data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.source import Samples
from ..devices import mixed_precision
from ..probe.manifest import Capture, Metric, Point
from .backbone import TIMESTEPS, Backbone, pad_ids
from .flow import GUIDANCE, SHIFT, STEPS, Step, noise_levels, sample
from .language import tokenize
from .restore import restore_backbone, restore_reward
from .reward import Reward
from .splits import distinct
from .train_backbone import load_backbone
from .train_reward import load_reward

# The quality from which a picture counts as good: about the median of the training captions.
GOOD_AT = 0.6
GRID = 16
PROMPT_SEED = 20


class ReferenceSource:
    """Backbone and reward of the reference world behind the common interface."""

    name = "pictogram"
    metric = Metric("pictogram-reward", (0.0, 1.0), GOOD_AT)

    def __init__(self, backbone: Backbone, reward: Reward, compiled: bool = False):
        """`compiled`: run the denoiser through torch.compile, which pays from some thousand images on."""
        if compiled:
            backbone.denoiser.compile()
        self.backbone = backbone
        self.reward = reward
        self.capture = capture_of(backbone)

    @classmethod
    def load(
        cls, folder: Path, backbone: Path | None = None, reward: Path | None = None, compiled: bool = False
    ) -> ReferenceSource:
        """From an exported folder; a checkpoint of training, where given, replaces its part."""
        return cls(
            load_backbone(backbone) if backbone else restore_backbone(folder),
            load_reward(reward) if reward else restore_reward(folder),
            compiled,
        )

    def points(self, steps: Sequence[int]) -> tuple[Point, ...]:
        levels = noise_levels()
        return tuple(Point(step, round(float(levels[step - 1]) * TIMESTEPS, 3)) for step in steps)

    def prompts(self, split: str, count: int) -> list[str]:
        return [request.caption() for request in distinct(split, count, PROMPT_SEED)]

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        size = self.backbone.config.image_size
        ids = pad_ids([tokenize(prompt) for prompt in prompts])
        latents = torch.stack([initial_noise(p, s, size) for p, s in zip(prompts, seeds, strict=True)])
        seen: list[Step] = []
        with mixed_precision():
            images = sample(self.backbone, ids, latents, on_step=seen.append, watch=frozenset(steps))
            judged = [self._judge(shown, ids) for shown in (*(step.preview for step in seen), images)]
        attention = torch.stack([grid_maps(step.maps, GRID) for step in seen], dim=1)
        previews = torch.stack([to_bytes(step.preview) for step in seen], dim=1)
        tokens = ids[:, 1:]  # the begin token is left out of the maps too
        return Samples(
            attention=attention.to(torch.float16).numpy(),
            token_mask=(tokens != 0).to(torch.uint8).numpy(),
            token_ids=tokens.numpy(),
            subject_mask=self.reward.pictogram_of[tokens].sum(dim=2).to(torch.uint8).numpy(),
            preview=previews.numpy(),
            preview_quality=torch.stack(judged[:-1], dim=1).numpy(),
            guidance_difference=torch.stack([step.guidance_difference for step in seen], dim=1).numpy(),
            image=to_bytes(images).numpy(),
            quality=judged[-1].numpy(),
        )

    def _judge(self, images: Tensor, ids: Tensor) -> Tensor:
        """Quality of images as they would be saved: rounded to whole colour values."""
        return self.reward(to_bytes(images).float() / 127.5 - 1, ids).float()


def capture_of(backbone: Backbone) -> Capture:
    """How the reference world captures: every cross-attention layer, brought to one grid."""
    size = backbone.config.image_size
    return Capture(
        layers=backbone.config.layers,
        height=GRID,
        width=GRID,
        heads="mean",
        tokens="text without begin and padding",
        pooling="area",
        scheduler=f"rectified-flow euler, shift {SHIFT}",
        total_steps=STEPS,
        guidance=GUIDANCE,
        resolution=(size, size),
    )


def grid_maps(maps: list[Tensor], grid: int) -> Tensor:
    """Per layer [batch, heads, cells, tokens + 1] to one tensor [batch, layers, tokens, grid, grid], begin token left out.

    A finer layer is area-pooled; a coarser one is repeated, which keeps every position's probabilities as they are.
    """
    layers = []
    for probabilities in maps:
        mean = probabilities.float().mean(dim=1)[:, :, 1:]
        side = round(mean.shape[1] ** 0.5)
        square = mean.transpose(1, 2).unflatten(2, (side, side))
        layers.append(F.adaptive_avg_pool2d(square, grid) if side > grid else F.interpolate(square, size=grid))
    return torch.stack(layers, dim=1)


def initial_noise(prompt: str, seed: int, size: int) -> Tensor:
    """The noise that prompt and seed stand for: float32 [3, size, size]."""
    digest = hashlib.sha256(f"{prompt}\n{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(3, size, size, generator=generator)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to uint8 colour values."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
