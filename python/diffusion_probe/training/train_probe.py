"""Trains a probe on a collected data set and validates it on held-back prompts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ..data.dataset import Collection, with_fixed_range, with_layers
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..devices import mixed_precision
from ..evaluation.figures import gap_closed, mean_known, pairwise_accuracy
from ..probe.config import PREVIEW, ProbeConfig
from ..probe.network import Probe
from ..progress import Progress
from .batches import prefetch, prompt_batch, sample_batch
from .checkpoint import load_probe
from .loop import CPU, Schedule, TrainingLoop
from .losses import probe_loss
from .settings import TrainSettings

VALIDATION_SHARE = 0.1
VALIDATION_BATCH = 256


def train_probe(data: Path, checkpoint: Path, settings: TrainSettings, vocabulary: int = 0, device: torch.device = CPU) -> Probe:
    """Train a probe, from its checkpoint when there is one; returns the averaged weights.

    A tenth of the training prompts is held back; its figures are appended to a `.log.jsonl` file beside the checkpoint.
    Raises ValueError when the data set lacks a signal or has another number of layers than `settings.exact_layers`.
    """
    fields = ["attention", "token_mask", "token_ids", "quality", *([PREVIEW] if PREVIEW in settings.signals else [])]
    everything = read_split(data, "train", fields)
    everything = with_fixed_range(with_layers(everything, settings.layers).with_quality(min_samples=1))
    layers = list(everything.description.capture.layers)
    if settings.exact_layers not in (None, len(layers)):
        raise ValueError(f"this preset reads {settings.exact_layers} layers, not {len(layers)}: choose so many with --layers")
    missing = [name for name in settings.signals if name not in everything.arrays]
    if missing:
        raise ValueError(f"the data set holds no {missing[0]}: this backbone does not give it")
    held_back = max(1, round(len(everything.prompts) * VALIDATION_SHARE))
    training = everything.take(range(len(everything.prompts) - held_back))
    validation = everything.take(range(len(everything.prompts) - held_back, len(everything.prompts))).with_quality()
    config = probe_config(everything, settings, vocabulary)
    torch.manual_seed(settings.seed)
    model = Probe(config)
    draw = sample_batch if settings.low_share else prompt_batch
    schedule = Schedule(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warm_up_steps=200,
        cool_down_share=0.5,
        save_every=500,
        ema_decay=0.998,
        weight_decay=settings.weight_decay,
    )
    metadata = {"config": asdict(config), "layers": layers, "settings": asdict(settings)}

    def log_figures(done: int, loss: float, progress: Progress) -> None:
        figures = validate(load_probe(checkpoint)[0].to(device), validation)
        progress.bar.write(json.dumps({"step": done, **figures}))
        with checkpoint.with_suffix(".log.jsonl").open("a") as file:
            file.write(json.dumps({"step": done, "loss": loss, **figures}) + "\n")

    loop = TrainingLoop(model, checkpoint, schedule, metadata, device)
    with prefetch(lambda step: draw(training, config, settings, step), device) as batch_of:

        def loss_of(step: int) -> Tensor:
            inputs, quality = batch_of(step)
            with mixed_precision(device):
                scores = model(*inputs)
            return probe_loss(scores.float(), quality, config, settings)

        loop.run("probe", loss_of, on_save=log_figures)
    return load_probe(checkpoint)[0]


def probe_config(collection: Collection, settings: TrainSettings, vocabulary: int) -> ProbeConfig:
    """The configuration that fits a data set. Raises ValueError when its maps do not fit a probe."""
    capture = collection.description.capture
    if capture.height != capture.width or capture.height % 4:
        raise ValueError(f"maps of {capture.height}x{capture.width}: a probe needs a square grid divisible by 4")
    return ProbeConfig(
        layers=len(capture.layers),
        grid=capture.height,
        width=settings.width,
        metric_range=collection.description.metric.range,
        signals=settings.signals,
        vocabulary=vocabulary,
        preview_size=capture.resolution[0],
    )


def validate(probe: Probe, collection: Collection) -> dict[str, float]:
    """Pooled rank correlation, pairwise accuracy and share of the oracle gap closed, at each decision point."""
    figures = {}
    quality = collection.quality
    for point in collection.description.points:
        starts = range(0, quality.size, VALIDATION_BATCH)
        rows = [slice(start, min(start + VALIDATION_BATCH, quality.size)) for start in starts]
        scores = np.concatenate([probe.score(probe_inputs(collection, point.step, part)) for part in rows]).reshape(quality.shape)
        figures[f"srcc@{point.step}"] = round(float(spearmanr(scores.ravel(), quality.ravel()).statistic), 4)
        figures[f"pairwise@{point.step}"] = round(mean_known(pairwise_accuracy(scores, quality, probe.config.metric_range)), 4)
        figures[f"gap@{point.step}"] = round(gap_closed(scores, quality), 4)
    return figures
