"""Training of the reference backbone: endless fresh scenes, velocity regression, resumable at any step."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..training import Progress, WeightAverage, load_checkpoint, save_checkpoint, trapezoid
from .backbone import Backbone, BackboneConfig, pad_ids
from .flow import noised
from .language import BEGIN_ID, tokenize
from .scenes import lay_out
from .splits import sample_of

BATCH = 64
LEARNING_RATE = 8e-4
WARM_UP_STEPS = 200
COOL_DOWN_SHARE = 0.25
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
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    average = WeightAverage(model, AVERAGE_DECAY)
    first = 0
    if saved:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average.state = saved["average"]
        first = saved["step"]
    forward = torch.compile(model) if compiled else model
    progress = Progress("backbone", first, steps)
    recent = 0.0
    for step in progress:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * trapezoid(step, steps, WARM_UP_STEPS, int(steps * COOL_DOWN_SHARE))
        images, input_ids = training_batch(seed, step, batch, config.image_size)
        latents, timestep, velocity = noised(images, torch.Generator().manual_seed(seed * 1_000_003 + step))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = forward(latents, timestep, input_ids)
        loss = F.mse_loss(predicted.float(), velocity)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(model, step)
        recent = loss.item() if step == first else 0.98 * recent + 0.02 * loss.item()
        if step % 20 == 0:
            progress.note(loss=f"{recent:.4f}")
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps or step + 1 in milestones:
            state = {
                "config": config.as_dict(),
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average.state,
                "step": step + 1,
                "loss": recent,
                "time": time.time(),
            }
            save_checkpoint(checkpoint, state)
            if step + 1 in milestones:
                save_checkpoint(checkpoint.with_name(f"{checkpoint.stem}-{step + 1}{checkpoint.suffix}"), state)
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
