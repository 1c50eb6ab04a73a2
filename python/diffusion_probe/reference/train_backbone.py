"""Trains the reference backbone to predict velocities, on newly sampled scenes at every step."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import mixed_precision
from ..training.checkpoint import require_checkpoint
from ..training.loop import Schedule, TrainingLoop
from .backbone import Backbone, BackboneConfig, pad_ids, with_whole_vocabulary
from .captions import Caption, paraphrases, tokenize
from .rectified_flow import training_pair
from .scenes import lay_out
from .splits import sample_caption
from .vocabulary import BEGIN_ID

BATCH = 64
UNCONDITIONAL_CHANCE = 0.1
LEARNING_RATE = 8e-4


def train_backbone(
    checkpoint: Path,
    steps: int,
    seed: int = 0,
    compiled: bool = True,
    config: BackboneConfig | None = None,
    batch: int = BATCH,
    milestones: tuple[int, ...] = (),
    start: Backbone | None = None,
    fresh: bool = False,
    learning_rate: float = LEARNING_RATE,
    paraphrase: float = 0.0,
) -> Backbone:
    """Train up to `steps` from the checkpoint unless `fresh`, else from `start`, else from scratch; returns the averaged weights.

    `start` gets an embedding of every word that it does not know. `learning_rate`: its peak. `paraphrase`: the share of the
    captions, in [0, 1], that get another wording or order; 0 is how a new backbone is trained.

    A step's data depends on the seed and the step alone, so a resumed training ends with the same weights as an uninterrupted
    one. A copy of the checkpoint is kept at each step of `milestones`: training can be extended from before its cool-down.
    """
    torch.manual_seed(seed)
    model = with_whole_vocabulary(start) if start else Backbone(config)
    model.to(memory_format=torch.channels_last)
    config = model.config
    schedule = Schedule(
        steps=steps,
        learning_rate=learning_rate,
        warm_up_steps=200,
        cool_down_share=0.4,
        save_every=250,
        ema_decay=0.999,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        milestones=milestones,
    )
    weights = [] if start is None else [value.numpy().tobytes() for value in start.state_dict().values()]
    settings = {
        **asdict(config),
        "seed": seed,
        "batch": batch,
        "learning_rate": learning_rate,
        "paraphrase": paraphrase,
        "start": hashlib.sha256(b"".join(weights)).hexdigest()[:16],
    }
    loop = TrainingLoop(model, checkpoint, schedule, settings, {"config": asdict(config)}, fresh=fresh)
    forward = torch.compile(model) if compiled else model

    def loss_of(step: int) -> Tensor:
        images, input_ids = training_batch(seed, step, batch, config.image_size, paraphrase)
        latents, timestep, velocity = training_pair(images, torch.Generator().manual_seed(seed * 1_000_003 + step))
        with mixed_precision():
            predicted = forward(latents, timestep, input_ids)
        return F.mse_loss(predicted.float(), velocity)

    loop.run("backbone", loss_of)
    return load_backbone(checkpoint)


def load_backbone(checkpoint: Path) -> Backbone:
    """A trained backbone with its averaged weights. Raises FileNotFoundError without a checkpoint."""
    saved = require_checkpoint(checkpoint, "backbone", "reference train-backbone")
    backbone = Backbone(BackboneConfig(**saved["config"]))
    backbone.load_state_dict(saved["average"])
    return backbone.to(memory_format=torch.channels_last).eval()


def training_batch(seed: int, step: int, batch: int, image_size: int, paraphrase: float = 0.0) -> tuple[Tensor, Tensor]:
    """Images [batch, 3, size, size] in [-1, 1] and padded token ids, some of them of the empty caption.

    `paraphrase`: the share of the captions that are not the plain text. The images do not depend on it.
    """
    rng = np.random.default_rng([seed, step])
    scenes = [lay_out(sample_caption(rng, "world"), rng) for _ in range(batch)]
    images = torch.from_numpy(np.stack([scene.image() for scene in scenes])).permute(0, 3, 1, 2) / 127.5 - 1
    if image_size != images.shape[-1]:
        images = F.interpolate(images, size=(image_size, image_size), mode="area")
    empty = rng.random(batch) < UNCONDITIONAL_CHANCE
    texts = [_text(scene.caption, paraphrase, rng) for scene in scenes]
    ids = [[BEGIN_ID] if none else tokenize(text) for text, none in zip(texts, empty, strict=True)]
    return images.contiguous(memory_format=torch.channels_last), pad_ids(ids)


def _text(caption: Caption, paraphrase: float, rng: np.random.Generator) -> str:
    """The plain text of a caption, or, with the chance `paraphrase`, any other with its meaning."""
    if rng.random() >= paraphrase:
        return caption.text()
    others = paraphrases(caption)[1:]
    return others[rng.integers(len(others))]
