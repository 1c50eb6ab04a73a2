"""Fits a probe's network to samples, judges it on held-back prompts at every checkpoint, and keeps the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Collection
from ..devices import mixed_precision
from ..probe.blocks import Network
from ..probe.config import ProbeConfig
from ..probe.networks import build_network
from ..progress import Progress
from .batches import Batch, prefetch
from .checkpoint import keep_best, kept_reason, load_probe
from .loop import Schedule, TrainingLoop
from .settings import TrainSettings
from .tracker import tracker
from .validation import validate

SAVE_EVERY = 500  # steps


@dataclass(frozen=True)
class Task:
    """Samples to train on, how the batch of a step is drawn from them, and the loss of the network's outputs."""

    collection: Collection
    draw: Callable[[int], Batch]
    loss: Callable[[Tensor, Batch], Tensor]


def fit(
    config: ProbeConfig,
    tasks: Sequence[Task],
    held_back: Collection,
    checkpoint: Path,
    settings: TrainSettings,
    asked: dict[str, Any],
    device: torch.device,
    fresh: bool,
    track: str | None,
) -> Network:
    """Train on the sum of the tasks' losses, from the checkpoint unless `fresh`; returns the averaged weights that were kept.

    `asked`: all that the weights depend on beside the code. The figures on `held_back` are appended to a `.log.jsonl` file beside
    the checkpoint, and at the end a line with the step whose weights were kept and why. Raises ValueError for a checkpoint of
    other settings, data or code, and for values that are not finite.
    """
    torch.manual_seed(settings.seed)
    model = build_network(config)
    schedule = Schedule(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warm_up_steps=200,
        cool_down_share=0.5,
        save_every=SAVE_EVERY,
        ema_decay=0.998,
        weight_decay=settings.weight_decay,
    )
    prompts = len(tasks[0].collection.prompts) + len(held_back.prompts)
    metadata = {"config": asdict(config), "layers": list(held_back.description.capture.layers), "prompts": prompts}
    loop = TrainingLoop(model, checkpoint, schedule, asked, metadata, device, fresh)
    log_file = checkpoint.with_suffix(".log.jsonl")

    def judge(done: int, loss: float, progress: Progress) -> bool:
        averaged = build_network(config).to(device).eval()
        averaged.load_state_dict(loop.average.state)
        figures = validate(averaged, held_back, settings)
        progress.bar.write(json.dumps({"step": done, **figures}))
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("a" if loop.first or done > SAVE_EVERY else "w") as file:
            file.write(json.dumps({"step": done, "loss": loss, **figures}) + "\n")
        log(figures, done)
        return bool(settings.patience) and keep_best(
            loop.metadata, done, figures["held_back_loss"], settings.patience, loop.average.state
        )

    with (
        prefetch(lambda step: [task.draw(step) for task in tasks], device) as batches_of,
        tracker(track, checkpoint, asked) as log,
    ):

        def loss_of(step: int) -> Tensor:
            losses = []
            for task, batch in zip(tasks, batches_of(step), strict=True):
                with mixed_precision(device):
                    outputs = model.outputs(*batch.inputs).float()
                bad = batch.rows[~outputs[:, 0].detach().isfinite().cpu().numpy()]
                if len(bad):
                    sample = task.collection.sample_name(int(bad[0]))
                    raise ValueError(f"the score of {sample} is not finite in step {step} (from 0)")
                losses.append(task.loss(outputs, batch))
            return sum(losses[1:], losses[0])

        loop.run("probe", loss_of, on_save=judge, log=log)
    if loop.first < settings.steps:
        why = kept_reason(settings.steps, loop.metadata.get("kept"))
        print(why)
        with log_file.open("a") as file:
            file.write(json.dumps({"kept": why}) + "\n")
    return load_probe(checkpoint)[0]
