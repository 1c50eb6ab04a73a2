"""Training of a probe on a collected data set: mean squared error plus a ranking loss within each prompt."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor

from ..data.dataset import Collection, with_fixed_range, with_layers
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..devices import mixed_precision
from ..evaluation.figures import gap_closed, mean_known, pairwise_accuracy
from ..probe.network import PREVIEW, Probe, ProbeConfig
from ..progress import Progress
from .batches import read_ahead, sample_batch, training_batch
from .checkpoint import load_probe
from .loop import CPU, Schedule, Trainer
from .losses import probe_loss
from .settings import TrainSettings

VALIDATION_SHARE = 0.1
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
    everything = with_fixed_range(with_layers(everything, settings.layers).with_quality(min_samples=1))
    present = len(everything.description.capture.layers)
    if settings.exact_layers not in (None, present):
        raise ValueError(f"this preset reads {settings.exact_layers} layers, not {present}: choose so many with --layers")
    missing = [name for name in settings.signals if name not in everything.arrays]
    if missing:
        raise ValueError(f"the data set holds no {missing[0]}: this backbone does not give it")
    held_back = max(1, round(len(everything.prompts) * VALIDATION_SHARE))
    training = everything.take(range(len(everything.prompts) - held_back))
    validation = everything.take(range(len(everything.prompts) - held_back, len(everything.prompts))).with_quality()
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
