"""Trains a probe on a collected data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import PREVIEW_QUALITY, Collection, with_fixed_range, with_layers
from ..data.shards import read_split
from ..probe.blocks import Network
from ..probe.config import PREVIEW, ProbeConfig
from .batches import Batch, prompt_batch, sample_batch
from .fit import Task, fit
from .loop import CPU
from .losses import probe_loss
from .settings import TrainSettings

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class LabelledData:
    """The train split of a data set: all of it, the prompts to train on, and the tenth that is held back."""

    everything: Collection
    training: Collection
    held_back: Collection


def train_probe(
    data: Path,
    checkpoint: Path,
    settings: TrainSettings,
    vocabulary: int = 0,
    device: torch.device = CPU,
    fresh: bool = False,
    track: str | None = None,
    prompts: int | None = None,
) -> Network:
    """Train a probe, from its checkpoint unless `fresh`; returns the averaged weights that were kept.

    A tenth of the training prompts is held back to judge it. `prompts`: train on the first so many of the split alone, the tenth
    included. `track`: the tracker that receives all figures, `tensorboard`.
    Raises ValueError when the data set lacks a signal or has another number of layers than `settings.exact_layers`, for a
    checkpoint of other settings, data or code, and for values that are not finite.
    """
    labelled = read_labelled(data, settings, prompts)
    config = probe_config(labelled.everything, settings, vocabulary)
    draw = sample_batch if settings.low_share else prompt_batch

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        against_truth = probe_loss(outputs[:, 0], batch.quality, config, settings)
        return against_truth + preview_loss(outputs, batch, labelled.training, config, settings)

    task = Task(labelled.training, lambda step: draw(labelled.training, config, settings, step), loss)
    asked = {**asked_settings(labelled, settings), "vocabulary": vocabulary}
    return fit(config, [task], labelled.held_back, checkpoint, settings, asked, device, fresh, track)


def read_labelled(data: Path, settings: TrainSettings, prompts: int | None = None) -> LabelledData:
    """Read the train split, with the fields and layers that the settings need. Raises ValueError where it lacks one.

    `prompts`: only so many of its first prompts.
    """
    everything = with_fixed_range(read_samples(data, "train", settings, prompts).with_quality(min_samples=1))
    layers = everything.description.capture.layers
    if settings.exact_layers not in (None, len(layers)):
        raise ValueError(f"this preset reads {settings.exact_layers} layers, not {len(layers)}: choose so many with --layers")
    count = len(everything.prompts)
    first_held_back = count - max(1, round(count * VALIDATION_SHARE))
    return LabelledData(
        everything,
        everything.take(range(first_held_back)),
        everything.take(range(first_held_back, count)).with_quality(),
    )


def read_samples(data: Path, split: str, settings: TrainSettings, prompts: int | None = None) -> Collection:
    """Read a split, with the fields and layers that the settings need. Raises ValueError where it lacks a field or prompts.

    `prompts`: only so many of its first prompts.
    """
    if settings.preview_weight and PREVIEW not in settings.signals:
        raise ValueError("--preview-weight needs --signals with preview: the network must see what it is to judge")
    needed = [*settings.signals, *([PREVIEW_QUALITY] if settings.preview_weight else [])]
    fields = ["attention", "token_mask", "token_ids", "quality", *needed]
    collection = with_layers(read_split(data, split, list(dict.fromkeys(fields)), prompts), settings.layers)
    if prompts is not None and len(collection.prompts) < prompts:
        raise ValueError(f"--prompts {prompts}: the {split} split of {data} has {len(collection.prompts)}")
    missing = [name for name in needed if name not in collection.arrays]
    if missing:
        raise ValueError(f"the {split} split of the data set holds no {missing[0]}: this backbone does not give it")
    return collection


def preview_loss(outputs: Tensor, batch: Batch, collection: Collection, config: ProbeConfig, settings: TrainSettings) -> Tensor:
    """The weighted loss of the second output against the metric of the preview; 0 for a network without that output."""
    if not config.preview_head:
        return outputs.new_zeros(())
    seen = batch.targets(collection.arrays[PREVIEW_QUALITY])
    return settings.preview_weight * probe_loss(outputs[:, 1], seen, config, settings)


def asked_settings(labelled: LabelledData, settings: TrainSettings) -> dict[str, object]:
    """What the weights of a training depend on: the settings, the layers, and a fingerprint of the data."""
    layers = list(labelled.everything.description.capture.layers)
    return {**asdict(settings), "layers": layers, "data": labelled.everything.fingerprint()}


def probe_config(collection: Collection, settings: TrainSettings, vocabulary: int) -> ProbeConfig:
    """The configuration that fits a data set. Raises ValueError when its maps do not fit a probe."""
    capture = collection.description.capture
    preview = collection.arrays.get("preview")
    if capture.height != capture.width or capture.height % 4:
        raise ValueError(f"maps of {capture.height}x{capture.width}: a probe needs a square grid divisible by 4")
    return ProbeConfig(
        layers=len(capture.layers),
        grid=capture.height,
        width=settings.width,
        metric_range=collection.description.metric.range,
        signals=settings.signals,
        vocabulary=vocabulary,
        preview_width=settings.preview_width,
        preview_head=settings.preview_weight > 0,
        network=settings.network,
        **({} if preview is None else {"preview_size": preview.shape[-1]}),
    )
