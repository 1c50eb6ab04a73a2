"""Training of a probe on a collected data set: mean squared error plus a ranking loss within each prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from .batches import read_ahead, sample_batch, training_batch
from .dataset import Collection, read_split
from .devices import mixed_precision
from .figures import gap_closed, mean_known, pairwise_accuracy
from .manifest import Capture
from .probe import PREVIEW, Probe, ProbeConfig
from .scorer import probe_inputs
from .train_settings import TrainSettings
from .trainer import CPU, Schedule, Trainer
from .training import Progress, load_checkpoint

VALIDATION_SHARE = 0.1
OUTLIERS = 0.001  # share of the training samples that may lie outside a metric's range, on either side
AVERAGE_DECAY = 0.998
WARM_UP_STEPS = 200
COOL_DOWN_SHARE = 0.5
VALIDATE_EVERY = 500


def train_probe(data: Path, checkpoint: Path, settings: TrainSettings, vocabulary: int = 0, device: torch.device = CPU) -> Probe:
    """Train from the checkpoint or from scratch; returns the averaged weights. The attention stays on disk.

    A tenth of the training prompts is held back; its figures are written beside the checkpoint as `.log.jsonl`.
    """
    fields = ["attention", "token_mask", "token_ids", "quality", *([PREVIEW] if PREVIEW in settings.signals else [])]
    everything = read_split(data, "train", fields)
    everything = with_fixed_range(with_layers(everything, settings.layers).scored(samples=1))
    present = len(everything.description.capture.layers)
    if settings.exact_layers not in (None, present):
        raise ValueError(f"this preset reads {settings.exact_layers} layers, not {present}: choose so many with --layers")
    missing = [name for name in settings.signals if name not in everything.arrays]
    if missing:
        raise ValueError(f"the data set holds no {missing[0]}: this backbone does not give it")
    held_back = max(1, round(len(everything.prompts) * VALIDATION_SHARE))
    training = everything.take(range(len(everything.prompts) - held_back))
    validation = everything.take(range(len(everything.prompts) - held_back, len(everything.prompts))).scored()
    config = probe_config(everything, settings, vocabulary)
    torch.manual_seed(settings.seed)
    model = Probe(config)
    draw = sample_batch if settings.low_share else training_batch
    schedule = Schedule(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warm_up_steps=WARM_UP_STEPS,
        cool_down_share=COOL_DOWN_SHARE,
        save_every=VALIDATE_EVERY,
        average_decay=AVERAGE_DECAY,
        weight_decay=settings.weight_decay,
    )
    layers = list(everything.description.capture.layers)
    facts = {"config": config.as_dict(), "layers": layers, "settings": asdict(settings)}

    def report(done: int, loss: float, progress: Progress) -> None:
        figures = validate(load_probe(checkpoint)[0].to(device), validation)
        progress.bar.write(json.dumps({"step": done, **figures}))
        with checkpoint.with_suffix(".log.jsonl").open("a") as file:
            file.write(json.dumps({"step": done, "loss": loss, **figures}) + "\n")

    trainer = Trainer(model, checkpoint, schedule, facts, device)
    with read_ahead(lambda step: draw(training, config, settings, step), device) as batch:

        def loss_of(step: int) -> Tensor:
            inputs, quality = batch(step)
            with mixed_precision(device):
                scores = model(*inputs)
            return probe_loss(scores.float(), quality, config, settings)

        trainer.run("probe", loss_of, on_save=report)
    return load_probe(checkpoint)[0]


def load_probe(checkpoint: Path) -> tuple[Probe, tuple[str, ...]]:
    """A trained probe with its averaged weights, and the layers it reads. Raises FileNotFoundError where there is none."""
    saved = load_checkpoint(checkpoint)
    if saved is None:
        raise FileNotFoundError(f"no probe checkpoint at {checkpoint}: run 'diffusion-probe train' first")
    probe = Probe(ProbeConfig.from_dict(saved["config"]))
    probe.load_state_dict(saved["average"])
    return probe.eval(), tuple(saved["layers"])


def with_layers(collection: Collection, layers: Sequence[str] | None) -> Collection:
    """The same samples with some of the captured layers only. Raises ValueError for a layer that was not captured."""
    if layers is None:
        return collection
    capture = collection.description.capture
    unknown = [layer for layer in layers if layer not in capture.layers]
    if unknown:
        raise ValueError(f"layers {unknown} were not captured: expected some of {list(capture.layers)}")
    chosen = [capture.layers.index(layer) for layer in layers]
    arrays = {**collection.arrays, "attention": collection.arrays["attention"][:, :, chosen]}
    narrowed = Capture(**{**asdict(capture), "layers": tuple(layers)})
    description = type(collection.description)(**{**vars(collection.description), "capture": narrowed})
    return Collection(description, collection.split, collection.prompts, arrays)


def with_fixed_range(collection: Collection) -> Collection:
    """The same with the range of its metric, which the training split decides where the data set leaves it open."""
    metric = collection.description.metric
    if metric.range is not None:
        return collection
    known = collection.quality[np.isfinite(collection.quality)]
    low, high = (float(value) for value in np.quantile(known, [OUTLIERS, 1 - OUTLIERS]))
    if low == high:
        raise ValueError(f"{metric.name} is {low:g} for nearly every image: there is nothing to learn")
    return collection.with_metric(replace(metric, range=(low, high)))


def probe_config(collection: Collection, settings: TrainSettings, vocabulary: int) -> ProbeConfig:
    """The probe that fits a data set."""
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


def probe_loss(scores: Tensor, quality: Tensor, config: ProbeConfig, settings: TrainSettings) -> Tensor:
    """Mean squared error plus, over all pairs of one prompt, a logistic loss on the order, weighted by how far apart they are.

    Samples whose quality is not known (nan) have no part in it.
    """
    low, high = config.metric_range
    known = quality.isfinite()
    truth = (quality - low) / (high - low)
    predicted = (scores.view_as(quality) - low) / (high - low)
    squared = F.mse_loss(predicted[known], truth[known])
    apart = (truth[:, :, None] - truth[:, None, :]).nan_to_num(0)
    guessed = predicted[:, :, None] - predicted[:, None, :]
    weight = apart.abs()
    order = F.softplus(-settings.ranking_sharpness * guessed * apart.sign())
    return squared + settings.ranking_weight * (order * weight).sum() / weight.sum().clamp(min=1e-6)


@torch.no_grad()
def validate(probe: Probe, collection: Collection) -> dict[str, float]:
    """Pooled and within-prompt figures per step on held-back prompts."""
    report = {}
    device = next(probe.parameters()).device
    for point in collection.description.points:
        parts = []
        total = len(collection.arrays["quality"])
        for start in range(0, total, 256):
            inputs = probe_inputs(collection, point.step, slice(start, min(start + 256, total)))
            parts.append(probe(*[torch.from_numpy(inputs[signal.name]).to(device) for signal in probe.config.inputs()]).cpu())
        scores = torch.cat(parts).numpy().reshape(collection.quality.shape)
        quality = collection.quality
        report[f"srcc@{point.step}"] = round(float(spearmanr(scores.ravel(), quality.ravel()).statistic), 4)
        report[f"pairwise@{point.step}"] = round(mean_known(pairwise_accuracy(scores, quality, probe.config.metric_range)), 4)
        report[f"gap@{point.step}"] = round(gap_closed(scores, quality), 4)
    return report
