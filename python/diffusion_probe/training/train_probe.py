"""Trains a probe on a collected data set and validates it on held-back prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from .checkpoint import kept_reason, load_probe
from .loop import CPU, Schedule, TrainingLoop
from .losses import probe_loss
from .settings import TrainSettings

VALIDATION_SHARE = 0.1
VALIDATION_BATCH = 256
SAVE_EVERY = 500  # steps


def train_probe(
    data: Path,
    checkpoint: Path,
    settings: TrainSettings,
    vocabulary: int = 0,
    device: torch.device = CPU,
    fresh: bool = False,
    track: str | None = None,
) -> Probe:
    """Train a probe, from its checkpoint unless `fresh`; returns the averaged weights that were kept.

    A tenth of the training prompts is held back; its figures are appended to a `.log.jsonl` file beside the checkpoint, and at
    the end a line with the step whose weights were kept and why. `track`: the tracker that receives all figures, `tensorboard`.
    Raises ValueError when the data set lacks a signal or has another number of layers than `settings.exact_layers`, for a
    checkpoint of other settings, data or code, and for values that are not finite.
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
        save_every=SAVE_EVERY,
        ema_decay=0.998,
        weight_decay=settings.weight_decay,
    )
    asked = {**asdict(settings), "layers": layers, "vocabulary": vocabulary, "data": everything.fingerprint()}
    metadata = {"config": asdict(config), "layers": layers}
    loop = TrainingLoop(model, checkpoint, schedule, asked, metadata, device, fresh)
    log_file = checkpoint.with_suffix(".log.jsonl")

    def judge(done: int, loss: float, progress: Progress) -> bool:
        averaged = Probe(config).to(device).eval()
        averaged.load_state_dict(loop.average.state)
        figures = validate(averaged, validation, settings)
        progress.bar.write(json.dumps({"step": done, **figures}))
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("a" if loop.first or done > SAVE_EVERY else "w") as file:
            file.write(json.dumps({"step": done, "loss": loss, **figures}) + "\n")
        log(figures, done)
        return bool(settings.patience) and keep_best(
            loop.metadata, done, figures["held_back_loss"], settings.patience, loop.average.state
        )

    with (
        prefetch(lambda step: draw(training, config, settings, step), device) as batch_of,
        tracker(track, checkpoint, asked) as log,
    ):

        def loss_of(step: int) -> Tensor:
            inputs, quality, rows = batch_of(step)
            with mixed_precision(device):
                scores = model(*inputs).float()
            bad = rows[~scores.detach().isfinite().cpu().numpy()]
            if len(bad):
                raise ValueError(f"the score of {training.sample_name(int(bad[0]))} is not finite in step {step} (from 0)")
            return probe_loss(scores, quality, config, settings)

        loop.run("probe", loss_of, on_save=judge, log=log)
    if loop.first < settings.steps:
        why = kept_reason(settings.steps, loop.metadata.get("kept"))
        print(why)
        with log_file.open("a") as file:
            file.write(json.dumps({"kept": why}) + "\n")
    return load_probe(checkpoint)[0]


def keep_best(metadata: dict[str, Any], done: int, loss: float, patience: int, average: dict[str, Tensor]) -> bool:
    """Keep the averaged weights of the lowest loss; True after `patience` checkpoints in a row without a lower one."""
    kept = metadata.get("kept")
    if kept is None or loss < kept["loss"]:
        weights = {name: value.clone() for name, value in average.items()}
        kept = {"step": done, "loss": loss, "average": weights, "later": 0, "last": done}
    else:
        kept = {**kept, "later": kept["later"] + 1, "last": done}
    metadata["kept"] = {**kept, "stopped": kept["later"] >= patience}
    return metadata["kept"]["stopped"]


@contextmanager
def tracker(name: str | None, checkpoint: Path, settings: dict[str, Any]) -> Iterator[Callable[[dict[str, float], int], None]]:
    """A function that logs the figures of a step to `tensorboard` beside the checkpoint, or nowhere for None.

    Raises ValueError where a package is missing.
    """
    if name is None:
        yield lambda *_: None
        return
    try:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()  # accelerate's trackers ask it which process writes
        run = LOGGER_TYPE_TO_CLASS[name](checkpoint.stem, logging_dir=checkpoint.parent / name)
        run.start()
    except ModuleNotFoundError as error:
        raise ValueError(f"--track {name} needs the package {error.name}: pip install 'diffusion-probe[track]'") from error
    run.store_init_configuration(
        {key: value if isinstance(value, int | float) else str(value) for key, value in settings.items()}
    )
    try:
        yield lambda figures, step: run.log(figures, step=step)
    finally:
        run.finish()


def probe_config(collection: Collection, settings: TrainSettings, vocabulary: int) -> ProbeConfig:
    """The configuration that fits a data set. Raises ValueError when its maps do not fit a probe."""
    capture = collection.description.capture
    preview = collection.arrays.get(PREVIEW)
    if capture.height != capture.width or capture.height % 4:
        raise ValueError(f"maps of {capture.height}x{capture.width}: a probe needs a square grid divisible by 4")
    return ProbeConfig(
        layers=len(capture.layers),
        grid=capture.height,
        width=settings.width,
        metric_range=collection.description.metric.range,
        signals=settings.signals,
        vocabulary=vocabulary,
        **({} if preview is None else {"preview_size": preview.shape[-1]}),
    )


def validate(probe: Probe, collection: Collection, settings: TrainSettings) -> dict[str, float]:
    """The mean loss; at each decision point, pooled rank correlation, pairwise accuracy and share of the oracle gap closed."""
    figures = {"held_back_loss": 0.0}
    quality = collection.quality
    for point in collection.description.points:
        starts = range(0, quality.size, VALIDATION_BATCH)
        rows = [slice(start, min(start + VALIDATION_BATCH, quality.size)) for start in starts]
        scores = np.concatenate([probe.score(probe_inputs(collection, point.step, part)) for part in rows]).reshape(quality.shape)
        loss = probe_loss(torch.from_numpy(scores), torch.from_numpy(quality), probe.config, settings)
        figures["held_back_loss"] += float(loss) / len(collection.description.points)
        figures[f"srcc@{point.step}"] = round(float(spearmanr(scores.ravel(), quality.ravel()).statistic), 4)
        figures[f"pairwise@{point.step}"] = round(mean_known(pairwise_accuracy(scores, quality, probe.config.metric_range)), 4)
        figures[f"gap@{point.step}"] = round(gap_closed(scores, quality), 4)
    return figures
