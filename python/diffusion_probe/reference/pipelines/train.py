"""Trains a pipeline on newly sampled scenes: its autoencoder, then its denoiser together with its text encoders."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...conditions.weights import weights_hash
from ...progress import Progress
from ...training.checkpoint import load_checkpoint
from ...training.loop import Schedule, TrainingLoop
from ..captions import Caption
from ..rectified_flow import stratified_times
from ..reward import Reward
from ..scenes import lay_out
from ..sentences import caption_texts
from ..splits import sample_caption
from ..train_reward import as_images
from .autoencoder import encode, train_autoencoder
from .precision import training_precision
from .quality import decoded_quality, held_out_texts, write_sheet
from .recipe import Batch, Recipe, Sizes

UNCONDITIONAL_CHANCE = 0.1
LEARNING_RATE = 8e-4
TIMED_STEPS = 5
DECODED_SCENES = 64


@dataclass(frozen=True)
class Training:
    """How a pipeline is trained."""

    steps: int | None = None  # of the denoiser; None: as many as `minutes` allow, else those of the recipe
    minutes: float | None = None  # for the denoiser; a resumed training keeps the steps that it was planned with
    autoencoder_steps: int = 1500
    seed: int = 0
    batch: int = 64
    autoencoder_batch: int = 32
    sheet_captions: int = 16
    save_every: int = 500
    milestones: tuple[int, ...] = ()  # steps at which a copy of the checkpoint is kept
    fresh: bool = False
    bfloat16: bool = False


def train_pipeline(recipe: Recipe, folder: Path, training: Training, reward: Reward, sizes: Sizes | None = None) -> Any:
    """Train up to the last step from the checkpoints in `folder`, or from random weights: the pipeline with averaged weights.

    Prints the quality of scenes that went through the autoencoder, which bounds that of the images. A sheet of samples is written
    to `folder/sheets` at every checkpoint. A step's data depends on the seed and the step alone, so a resumed training ends with
    the same weights as an uninterrupted one. Raises ValueError for checkpoints of other settings.
    """
    sizes = sizes or recipe.sizes
    seed, fresh = training.seed, training.fresh
    torch.manual_seed(seed)
    pipe = recipe.build(sizes)
    train_autoencoder(
        pipe.vae,
        folder / "autoencoder.pt",
        training.autoencoder_steps,
        seed,
        training.autoencoder_batch,
        fresh=fresh,
        bfloat16=training.bfloat16,
    )
    decoded = decoded_quality(pipe.vae, DECODED_SCENES, reward)
    print(f"mean quality of painted scenes {decoded['scenes']:.3f}, after the autoencoder {decoded['decoded']:.3f}", flush=True)
    checkpoint = folder / "checkpoint.pt"

    def loss_of(step: int) -> Tensor:
        batch = training_batch(recipe, pipe.vae, seed, step, training.batch)
        with training_precision(training.bfloat16):
            return recipe.loss(pipe, batch)

    parts = recipe.trained_parts(pipe)
    steps = _planned_steps(recipe, training, checkpoint, lambda: _seconds_per_step(parts, loss_of))
    schedule = Schedule(
        steps=steps,
        learning_rate=LEARNING_RATE,
        warm_up_steps=200,
        cool_down_share=0.4,
        save_every=training.save_every,
        ema_decay=0.999,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        milestones=training.milestones,
        muon=recipe.muon,
    )
    settings = {
        "pipeline": recipe.name,
        **asdict(sizes),
        "seed": seed,
        "batch": training.batch,
        "sentences": recipe.sentences,
        "bfloat16": training.bfloat16,
        "muon": recipe.muon,
        "autoencoder_weights": weights_hash(pipe.vae),
    }
    loop = TrainingLoop(parts, checkpoint, schedule, settings, {}, fresh=fresh)
    averaged = recipe.build(sizes)  # draws the sheets
    averaged.vae = pipe.vae
    averaged.set_progress_bar_config(disable=True)
    averaged_parts = recipe.trained_parts(averaged).eval()
    texts = held_out_texts(training.sheet_captions, recipe.sentences)

    def draw_sheet(done: int, loss: float, progress: Progress) -> bool:
        averaged_parts.load_state_dict(loop.average.state)
        title = f"{recipe.name}, step {done} of {steps}, loss {loss:.4f}"
        write_sheet(folder / "sheets" / f"{done:06d}.png", averaged, recipe.call, texts, reward, title)
        return False

    loop.run(recipe.name, loss_of, draw_sheet)
    averaged_parts.load_state_dict(loop.average.state)
    return averaged


def save_pipeline(pipe: Any, folder: Path) -> None:
    """Write the pipeline with 16-bit weights, as `DiffusionPipeline.from_pretrained` reads it. The pipeline keeps them."""
    pipe.to(torch.float16)
    pipe.save_pretrained(folder)


def training_batch(
    recipe: Recipe, autoencoder: Any, seed: int, step: int, batch: int, wanted: Callable[[Caption], bool] = lambda caption: True
) -> Batch:
    """The scenes of a step as latents, with their captions, times and noise. `wanted`: which captions are drawn."""
    rng = np.random.default_rng([seed, 31, step])
    sampled = (sample_caption(rng, "world") for _ in count())
    scenes = [lay_out(caption, rng) for caption in islice(filter(wanted, sampled), batch)]
    captions = caption_texts([scene.caption for scene in scenes], recipe.sentences, rng)
    dropped = torch.from_numpy(rng.random(batch) < UNCONDITIONAL_CHANCE)
    latents = encode(autoencoder, as_images([scene.image() for scene in scenes]))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    times = stratified_times(batch, generator)
    return Batch(latents, captions, dropped, times, torch.randn(latents.shape, generator=generator))


def _planned_steps(recipe: Recipe, training: Training, checkpoint: Path, seconds_per_step: Callable[[], float]) -> int:
    if training.steps is not None:
        return training.steps
    saved = None if training.fresh else load_checkpoint(checkpoint)
    if saved is not None:
        return saved["settings"]["steps"]
    if training.minutes is None:
        return recipe.steps
    return max(1, int(training.minutes * 60 / seconds_per_step()))


def _seconds_per_step(parts: torch.nn.ModuleDict, loss_of: Callable[[int], Tensor]) -> float:
    """The seconds of a step's loss and gradients on this machine; the weights stay as they are."""
    loss_of(0).backward()  # the first one allocates
    started = time.monotonic()
    for step in range(TIMED_STEPS):
        loss_of(step).backward()
    parts.zero_grad(set_to_none=True)
    return (time.monotonic() - started) / TIMED_STEPS
