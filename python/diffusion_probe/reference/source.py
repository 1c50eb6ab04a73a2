"""The reference world as a source of training data: it generates images, captures attention and scores quality."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditions.weights import weights_hash
from ..data.source import Samples
from ..devices import mixed_precision
from ..probe.manifest import Capture, DecisionPoint, Metric
from .backbone import TIMESTEPS, Backbone, pad_ids
from .captions import tokenize
from .onnx_import import load_onnx_backbone, load_onnx_reward
from .rectified_flow import GUIDANCE, SHIFT, STEPS, StepOutput, noise_levels, sample
from .reward import Reward
from .splits import distinct_captions
from .train_backbone import load_backbone
from .train_reward import load_reward

# The quality from which an image counts as good: about the median over the training captions.
GOOD_AT = 0.6
GRID = 16
PROMPT_SEED = 20


class ReferenceSource:
    """Backbone and reward of the reference world as a `data.source.Source`."""

    name = "pictogram"
    metric = Metric("pictogram-reward", (0.0, 1.0), GOOD_AT)

    def __init__(self, backbone: Backbone, reward: Reward, compiled: bool = False):
        """`compiled`: run the denoiser through torch.compile, which is worth its start-up time from some thousand images on."""
        if compiled:
            backbone.denoiser.compile()
        self.backbone = backbone
        self.reward = reward
        size = backbone.config.image_size
        self.capture = Capture(
            family="pictogram",
            layers=backbone.config.layers,
            height=GRID,
            width=GRID,
            heads="mean",
            tokens="text without begin and padding",
            pooling="area",
        )
        self.conditions = {
            "scheduler": {"class": "RectifiedFlowEuler", "shift": SHIFT},
            "timesteps": [point.timestep for point in self.points(range(1, STEPS + 1))],
            "call": {"guidance_scale": GUIDANCE, "height": size, "num_inference_steps": STEPS, "width": size},
            "guidance": {"classifier_free": GUIDANCE, "embedded": None},
            "weights": {
                "denoiser": weights_hash(backbone.denoiser),
                "text_encoder": weights_hash(backbone.text_encoder),
            },
        }
        self.total_steps = STEPS

    @classmethod
    def load(cls, folder: Path, backbone: Path | None = None, reward: Path | None = None, compiled: bool = False) -> Self:
        """Load from an exported folder; a training checkpoint, when given, replaces the exported weights."""
        return cls(
            load_backbone(backbone) if backbone else load_onnx_backbone(folder),
            load_reward(reward) if reward else load_onnx_reward(folder),
            compiled,
        )

    def points(self, steps: Sequence[int]) -> tuple[DecisionPoint, ...]:
        levels = noise_levels()
        return tuple(DecisionPoint(step, round(float(levels[step - 1]) * TIMESTEPS, 3)) for step in steps)

    def prompts(self, split: str, count: int) -> list[str]:
        return [caption.text() for caption in distinct_captions(split, count, PROMPT_SEED)]

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        size = self.backbone.config.image_size
        ids = pad_ids([tokenize(prompt) for prompt in prompts])
        latents = torch.stack([initial_noise(p, s, size) for p, s in zip(prompts, seeds, strict=True)])
        outputs: list[StepOutput] = []
        with mixed_precision():
            images = sample(self.backbone, ids, latents, on_step=outputs.append, capture_steps=frozenset(steps))
            qualities = [self._quality(shown, ids) for shown in (*(step.preview for step in outputs), images)]
        attention = torch.stack([grid_maps(step.maps, GRID) for step in outputs], dim=1)
        previews = torch.stack([to_bytes(step.preview) for step in outputs], dim=1)
        tokens = ids[:, 1:]  # without the begin token, like the maps
        return Samples(
            attention=attention.to(torch.float16).numpy(),
            token_mask=(tokens != 0).to(torch.uint8).numpy(),
            token_ids=tokens.numpy(),
            subject_mask=self.reward.pictogram_of[tokens].sum(dim=2).to(torch.uint8).numpy(),
            preview=previews.numpy(),
            preview_quality=torch.stack(qualities[:-1], dim=1).numpy(),
            guidance_difference=torch.stack([step.guidance_difference for step in outputs], dim=1).numpy(),
            image=to_bytes(images).numpy(),
            quality=qualities[-1].numpy(),
        )

    def _quality(self, images: Tensor, ids: Tensor) -> Tensor:
        """The quality of images after rounding to 8-bit colours, as in a saved file."""
        return self.reward(to_bytes(images).float() / 127.5 - 1, ids).float()


def grid_maps(maps: list[Tensor], grid: int) -> Tensor:
    """The mean over heads of per-layer maps [batch, heads, cells, tokens + 1], without the begin token, on one grid.

    Returns [batch, layers, tokens, grid, grid]. Finer layers are area-pooled; the cells of coarser layers are repeated.
    """
    layers = []
    for probabilities in maps:
        mean = probabilities.float().mean(dim=1)[:, :, 1:]
        side = round(mean.shape[1] ** 0.5)
        square = mean.transpose(1, 2).unflatten(2, (side, side))
        layers.append(F.adaptive_avg_pool2d(square, grid) if side > grid else F.interpolate(square, size=grid))
    return torch.stack(layers, dim=1)


def initial_noise(prompt: str, seed: int, size: int) -> Tensor:
    """The initial latents of a prompt and a seed: float32 [3, size, size]."""
    digest = hashlib.sha256(f"{prompt}\n{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(3, size, size, generator=generator)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to uint8 colours."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
