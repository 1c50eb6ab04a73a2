"""The reference world as a source of training data: it generates images, captures attention and scores quality."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..conditions.weights import weights_hash
from ..data.source import Samples
from ..devices import mixed_precision
from ..probe.manifest import Capture, DecisionPoint, Metric
from .backbone import TIMESTEPS, Backbone, pad_ids
from .captions import paraphrase, parse, tokenize
from .onnx_import import load_onnx_backbone, load_onnx_reward, read_description
from .rectified_flow import GUIDANCE, SHIFT, STEPS, StepOutput, noise_levels, sample
from .reward import Reward
from .splits import data_captions
from .train_backbone import load_backbone
from .train_reward import load_reward
from .vocabulary import VOCABULARY

# The quality from which an image counts as good: about the median over the training captions.
GOOD_AT = 0.6
GRID = 8  # of the maps of a new export; see docs/adr/0037-the-budget-of-one-training.md


class ReferenceSource:
    """Backbone and reward of the reference world as a `data.source.Source`."""

    name = "pictogram"
    metric = Metric("pictogram-reward", (0.0, 1.0), GOOD_AT)

    def __init__(self, backbone: Backbone, reward: Reward, compiled: bool = False, grid: int = GRID, paraphrased: float = 0.0):
        """`compiled`: run the denoiser through torch.compile, which is worth its start-up time from some thousand images on.

        `grid`: the side of the maps. `paraphrased`: the share of the prompts that are a paraphrase of their caption.
        """
        if compiled:
            backbone.denoiser.to(memory_format=torch.channels_last).compile(options={"freezing": True})
        self.backbone = backbone
        self.reward = reward
        self.paraphrased = paraphrased
        size = backbone.config.image_size
        self.capture = Capture(
            family="pictogram",
            layers=backbone.config.layers,
            height=grid,
            width=grid,
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
    def load(
        cls,
        folder: Path,
        backbone: Path | None = None,
        reward: Path | None = None,
        compiled: bool = False,
        grid: int | None = None,
        paraphrased: float = 0.0,
    ) -> Self:
        """Load from an exported folder; a training checkpoint, when given, replaces the exported weights.

        `grid`: the side of the maps, by default that of the folder.
        """
        if grid is None:
            grid = read_description(folder)["capture"]["height"] if (folder / "reference.json").exists() else GRID
        return cls(
            load_backbone(backbone) if backbone else load_onnx_backbone(folder),
            load_reward(reward) if reward else load_onnx_reward(folder),
            compiled,
            grid,
            paraphrased,
        )

    def points(self, steps: Sequence[int]) -> tuple[DecisionPoint, ...]:
        levels = noise_levels()
        return tuple(DecisionPoint(step, round(float(levels[step - 1]) * TIMESTEPS, 3)) for step in steps)

    def prompts(self, split: str, count: int) -> list[str]:
        return [paraphrase(caption, self.paraphrased) for caption in data_captions(split, count)]

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        return self._draw(prompts, seeds, steps, finished=True)

    def observe(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        return self._draw(prompts, seeds, steps, finished=False)

    @torch.no_grad()
    def _draw(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int], finished: bool) -> Samples:
        ids = self.token_ids(prompts)
        size = self.backbone.config.image_size
        latents = torch.stack([initial_noise(p, s, size) for p, s in zip(prompts, seeds, strict=True)])
        outputs: list[StepOutput] = []
        with mixed_precision():
            last = STEPS if finished else max(steps)
            images = sample(self.backbone, ids, latents, on_step=outputs.append, capture_steps=frozenset(steps), last=last)
        attention = torch.stack([grid_maps(step.maps, self.capture.height) for step in outputs], dim=1)
        tokens = ids[:, 1:]  # without the begin token, like the maps
        captured = {
            "attention": attention.to(torch.float16).numpy(),
            "token_mask": (tokens != 0).to(torch.uint8).numpy(),
            "token_ids": tokens.numpy(),
            "subject_mask": self.reward.pictogram_of[tokens].sum(dim=2).to(torch.uint8).numpy(),
            "preview": torch.stack([to_bytes(step.preview) for step in outputs], dim=1).numpy(),
            "guidance_difference": torch.stack([step.guidance_difference for step in outputs], dim=1).numpy(),
        }
        plain = plain_ids(prompts)
        previews = torch.stack([self._rewarded(to_bytes(step.preview), plain) for step in outputs], dim=1)
        captured["preview_quality"] = previews.numpy()
        if not finished:
            return Samples(**captured, quality=np.full(len(prompts), np.nan, np.float32))
        return Samples(**captured, image=to_bytes(images).numpy(), quality=self._rewarded(to_bytes(images), plain).numpy())

    def token_ids(self, prompts: Sequence[str]) -> Tensor:
        """Padded token ids. Raises ValueError for a word that the backbone was not trained with."""
        ids = pad_ids([tokenize(prompt) for prompt in prompts])
        unknown = int(ids.max())
        if unknown >= self.backbone.config.vocabulary:
            word = VOCABULARY[unknown]
            raise ValueError(
                f"this backbone does not know the word {word!r}: train it with 'reference train-backbone --paraphrase'"
            )
        return ids

    @torch.no_grad()
    def quality(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """The quality, float32 [n], of images in 8-bit colours, uint8 [n, 3, height, width]."""
        return self._rewarded(images, plain_ids(prompts))

    def _rewarded(self, images: Tensor, plain: Tensor) -> Tensor:
        with mixed_precision():
            return self.reward(from_bytes(images), plain).float()


def plain_ids(prompts: Sequence[str]) -> Tensor:
    """Padded token ids of the plain wordings, which alone the reward reads."""
    return pad_ids([tokenize(parse(prompt).text()) for prompt in prompts])


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


def from_bytes(images: Tensor) -> Tensor:
    """Images in 8-bit colours as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def pictures(images: Tensor) -> list[Image.Image]:
    """Images in 8-bit colours, uint8 [n, 3, height, width], as files hold them."""
    return [Image.fromarray(pixels) for pixels in images.permute(0, 2, 3, 1).numpy()]


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to uint8 colours."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
