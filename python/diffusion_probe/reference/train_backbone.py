"""Training of the reference backbone: endless fresh scenes, velocity regression, resumable at any step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import mixed_precision
from ..training.checkpoint import load_checkpoint
from ..training.loop import Schedule, Trainer
from .backbone import Backbone, BackboneConfig, pad_ids
from .flow import noised
from .language import BEGIN_ID, tokenize
from .scenes import lay_out
from .splits import sample_of

BATCH = 64
LEARNING_RATE = 8e-4
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
WARM_UP_STEPS = 200
COOL_DOWN_SHARE = 0.4
AVERAGE_DECAY = 0.999
UNCONDITIONAL_CHANCE = 0.1
CHECKPOINT_EVERY = 250


def train_backbone(
    checkpoint: Path,
    steps: int,
    seed: int = 0,
    compiled: bool = True,
    config: BackboneConfig | None = None,
    batch: int = BATCH,
    milestones: tuple[int, ...] = (),
    start: Backbone | None = None,
) -> Backbone:
    """Train until `steps` from the checkpoint, else from `start`, else from scratch; returns the averaged weights.

    Every step's data depends on the seed and the step alone, so an interrupted run continues as if it had not been. A copy of
    the checkpoint is kept at each of `milestones`, so that a run can be prolonged from before its cool-down.
    """
    torch.manual_seed(seed)
    saved = load_checkpoint(checkpoint)
    config = BackboneConfig(**saved["config"]) if saved else start.config if start else config or BackboneConfig()
    model = Backbone(config).to(memory_format=torch.channels_last)
    if start:
        model.load_state_dict(start.state_dict())
    schedule = Schedule(
        steps=steps,
        learning_rate=LEARNING_RATE,
        warm_up_steps=WARM_UP_STEPS,
        cool_down_share=COOL_DOWN_SHARE,
        save_every=CHECKPOINT_EVERY,
        average_decay=AVERAGE_DECAY,
        weight_decay=WEIGHT_DECAY,
        betas=BETAS,
        milestones=milestones,
    )
    trainer = Trainer(model, checkpoint, schedule, {"config": config.as_dict()})
    forward = torch.compile(model) if compiled else model

    def loss_of(step: int) -> Tensor:
        images, input_ids = training_batch(seed, step, batch, config.image_size)
        latents, timestep, velocity = noised(images, torch.Generator().manual_seed(seed * 1_000_003 + step))
        with mixed_precision():
            predicted = forward(latents, timestep, input_ids)
        return F.mse_loss(predicted.float(), velocity)

    trainer.run("backbone", loss_of)
    return load_backbone(checkpoint)


def load_backbone(checkpoint: Path) -> Backbone:
    """The averaged weights of a checkpoint, ready to sample. Raises FileNotFoundError where there is none."""
    saved = load_checkpoint(checkpoint)
    if saved is None:
        raise FileNotFoundError(f"no backbone checkpoint at {checkpoint}: run 'diffusion-probe reference train-backbone'")
    backbone = Backbone(BackboneConfig(**saved["config"]))
    backbone.load_state_dict(saved["average"])
    return backbone.to(memory_format=torch.channels_last).eval()


def training_batch(seed: int, step: int, batch: int, image_size: int) -> tuple[Tensor, Tensor]:
    """Images [batch, 3, size, size] in [-1, 1] and padded token ids, some of them the empty caption."""
    rng = np.random.default_rng([seed, step])
    scenes = [lay_out(sample_of("world", rng), rng) for _ in range(batch)]
    images = torch.from_numpy(np.stack([scene.image() for scene in scenes])).permute(0, 3, 1, 2) / 127.5 - 1
    if image_size != images.shape[-1]:
        images = F.interpolate(images, size=(image_size, image_size), mode="area")
    empty = rng.random(batch) < UNCONDITIONAL_CHANCE
    ids = [[BEGIN_ID] if none else tokenize(scene.request.caption()) for scene, none in zip(scenes, empty, strict=True)]
    return images.contiguous(memory_format=torch.channels_last), pad_ids(ids)
