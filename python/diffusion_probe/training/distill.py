"""Distils teachers into a smaller probe, on labelled and on unlabelled prompts.

The student learns the true qualities where they are known, and everywhere the mean score of its teachers, both with the loss of a
probe: squared error plus ranking within a prompt. To learn from scores is the idea of Hinton et al., arXiv 1503.02531.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import UNLABELLED, Collection
from ..data.shards import read_split
from ..probe.blocks import Network
from ..probe.config import ProbeConfig
from .batches import Batch, prompt_batch
from .fit import Task, fit
from .loop import CPU
from .losses import probe_loss
from .settings import TrainSettings
from .teachers import Teacher, load_teacher, teacher_scores
from .train_probe import LabelledData, asked_settings, preview_loss, probe_config, read_labelled, read_samples

TEACHER = "teacher"  # the field of the teachers' mean score, float32 [samples, points]


@dataclass(frozen=True)
class DistillSettings(TrainSettings):
    """How a student is trained."""

    network: str = "lean"
    teacher_weight: float = 1.0  # of the loss against the teachers, beside that against the truth
    unlabelled_prompts: int = 32  # in a batch, beside `batch_prompts` labelled ones


@dataclass(frozen=True)
class DistillData:
    """Labelled and unlabelled samples with their teachers' scores, and what identifies them."""

    labelled: LabelledData
    training: Collection
    unlabelled: Collection | None
    teachers: tuple[str, ...]  # of the weights


def read_distill_data(data: Path, teachers: Sequence[Path], settings: DistillSettings, cache: Path) -> DistillData:
    """Read the splits, and let the teachers score them unless `cache` holds their scores.

    Without an unlabelled split the labelled one is all there is. Raises ValueError without teachers and where one does not fit.
    """
    if not teachers:
        raise ValueError("no teacher: name at least one folder of a probe or checkpoint of train")
    loaded = [load_teacher(path) for path in teachers]
    labelled = read_labelled(data, settings)
    scores = _of_labelled(teacher_scores(loaded, data, "train", cache), labelled.everything, data)
    everything = _with_teacher(labelled.everything, scores)
    training = everything.take(range(len(labelled.training.prompts)))
    identity = tuple(teacher.weights_id for teacher in loaded)
    return DistillData(labelled, training, _unlabelled(data, loaded, settings, cache), identity)


def distill(
    data: DistillData,
    checkpoint: Path,
    settings: DistillSettings,
    vocabulary: int = 0,
    device: torch.device = CPU,
    fresh: bool = False,
    track: str | None = None,
) -> Network:
    """Train a student, from its checkpoint unless `fresh`; returns the averaged weights that were kept.

    The same tenth of the training prompts as in `train_probe` is held back. Raises ValueError for a checkpoint of other settings,
    teachers, data or code, and for values that are not finite.
    """
    config = probe_config(data.labelled.everything, settings, vocabulary)
    tasks = [_task(data.training, config, settings)]
    if data.unlabelled is not None:
        # The seed is another one: the same would draw the same places of both lists in every step.
        more = replace(settings, batch_prompts=settings.unlabelled_prompts, seed=settings.seed + 1)
        tasks.append(_task(data.unlabelled, config, more))
    asked = {
        **asked_settings(data.labelled, settings),
        "vocabulary": vocabulary,
        "teachers": list(data.teachers),
        "unlabelled": None if data.unlabelled is None else data.unlabelled.fingerprint(),
    }
    return fit(config, tasks, data.labelled.held_back, checkpoint, settings, asked, device, fresh, track)


def _task(collection: Collection, config: ProbeConfig, settings: DistillSettings) -> Task:
    taught = collection.arrays[TEACHER]

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        scores = outputs[:, 0]
        total = settings.teacher_weight * probe_loss(scores, batch.targets(taught), config, settings)
        total = total + preview_loss(outputs, batch, collection, config, settings)
        if not batch.quality.isfinite().any():
            return total
        return total + probe_loss(scores, batch.quality, config, settings)

    return Task(collection, lambda step: prompt_batch(collection, config, settings, step), loss)


def _unlabelled(data: Path, teachers: Sequence[Teacher], settings: DistillSettings, cache: Path) -> Collection | None:
    if not any(data.glob(f"{UNLABELLED}-*.safetensors")):
        return None
    return _with_teacher(read_samples(data, UNLABELLED, settings), teacher_scores(teachers, data, UNLABELLED, cache))


def _with_teacher(collection: Collection, scores: np.ndarray) -> Collection:
    return replace(collection, arrays={**collection.arrays, TEACHER: scores})


def _of_labelled(scores: np.ndarray, labelled: Collection, data: Path) -> np.ndarray:
    """The scores of the prompts that are left: those without any known quality are not in `labelled`."""
    names = read_split(data, "train", ["quality"]).prompts
    if len(names) == len(labelled.prompts):
        return scores
    kept = set(labelled.prompts)
    prompts = [index for index, name in enumerate(names) if name in kept]
    return scores.reshape(len(names), labelled.seeds, -1)[prompts].reshape(len(prompts) * labelled.seeds, -1)
