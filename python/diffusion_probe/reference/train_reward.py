"""Trains the detector of the reward on clean and corrupted scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import mixed_precision
from ..training.checkpoint import require_checkpoint
from ..training.loop import Schedule, TrainingLoop
from .corruption import LabelledImage, sample_labelled_image
from .reward import Detections, Detector, Reward

BATCH = 64


def train_reward(
    checkpoint: Path, steps: int, seed: int = 0, batch: int = BATCH, width: int = 128, fresh: bool = False
) -> Reward:
    """Train up to `steps`, from the checkpoint unless `fresh`; returns the reward with averaged weights."""
    torch.manual_seed(seed)
    detector = Detector(width).to(memory_format=torch.channels_last)
    schedule = Schedule(
        steps, learning_rate=1.5e-3, warm_up_steps=100, cool_down_share=0.4, save_every=250, ema_decay=0.998, weight_decay=0.02
    )

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng([seed, 7, step])
        examples = [sample_labelled_image(rng) for _ in range(batch)]
        with mixed_precision():
            detections = detector(as_images([example.image for example in examples]))
        return detection_loss(detections, examples)

    settings = {"seed": seed, "batch": batch, "width": width}
    TrainingLoop(detector, checkpoint, schedule, settings, {"width": width}, fresh=fresh).run("reward", loss_of)
    return load_reward(checkpoint)


def load_reward(checkpoint: Path) -> Reward:
    """A trained reward with its averaged weights. Raises FileNotFoundError without a checkpoint."""
    saved = require_checkpoint(checkpoint, "reward", "reference train-reward")
    detector = Detector(saved["width"])
    detector.load_state_dict(saved["average"])
    return Reward(detector).to(memory_format=torch.channels_last).eval()


def as_images(images: list[np.ndarray]) -> Tensor:
    """Images, uint8 [64, 64, 3], as one float32 batch [batch, 3, 64, 64] in [-1, 1]."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def detection_loss(detections: Detections, examples: list[LabelledImage]) -> Tensor:
    """A weighted sum of the losses of density (per cell and per pictogram), fidelity and background."""
    density, fidelity, weight = (
        torch.from_numpy(np.stack([getattr(example, field) for example in examples]))
        for field in ("density", "fidelity", "fidelity_weight")
    )
    background = torch.tensor([example.background for example in examples])
    found = detections.density.float()
    per_cell = (found - density).square().sum(dim=(1, 2, 3)).mean()
    counts = F.smooth_l1_loss(found.sum(dim=(2, 3)), density.sum(dim=(2, 3)), beta=0.2, reduction="none").sum(dim=1).mean()
    predicted = detections.fidelity.float().clamp(1e-4, 1 - 1e-4)
    drawing = (F.binary_cross_entropy(predicted, fidelity, reduction="none") * weight).sum() / weight.sum().clamp(min=1)
    return 4 * per_cell + counts + 0.3 * drawing + 0.1 * F.cross_entropy(detections.background.float(), background)
