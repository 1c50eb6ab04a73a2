"""The scores that teachers, trained probes, give to a split of a data set: computed once, and kept beside the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..data.dataset import Collection, with_layers
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..fingerprint import digest
from ..probe.onnx_probe import OnnxProbe
from ..progress import Progress
from .checkpoint import load_probe

BATCH = 128  # samples


class Scorer(Protocol):
    """A trained probe, as a checkpoint or as an exported folder."""

    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch]."""
        ...


@dataclass(frozen=True)
class Teacher:
    """A trained probe, the layers and the side of the maps that it reads, and its inputs."""

    name: str
    scorer: Scorer
    layers: tuple[str, ...]
    grid: int
    inputs: tuple[str, ...]
    weights_id: str


def load_teacher(path: Path) -> Teacher:
    """Load a probe's folder or a checkpoint of `train`. Raises FileNotFoundError where there is none."""
    if path.is_dir():
        probe = OnnxProbe(path)
        capture = probe.manifest["capture"]
        names = tuple(entry["name"] for entry in probe.manifest["inputs"])
        content = (path / "model.onnx").read_bytes()
        return Teacher(str(path), probe, tuple(capture["layers"]), capture["height"], names, digest(content))
    network, layers = load_probe(path)
    names = tuple(spec.name for spec in network.config.inputs())
    return Teacher(str(path), network, layers, network.config.grid, names, digest(path.read_bytes()))


def teacher_scores(teachers: Sequence[Teacher], data: Path, split: str, cache: Path) -> np.ndarray:
    """The mean of the teachers' scores of every sample of a split: float32 [samples, decision points].

    The scores of each teacher and decision point are written to `cache` and read from there the next time. Raises ValueError
    where a teacher reads layers, maps or signals that the data set does not hold, and for a score that is not finite.
    """
    collection = read_split(data, split)
    identity = collection.fingerprint()
    points = [point.step for point in collection.description.points]
    cache.mkdir(parents=True, exist_ok=True)
    total = np.zeros((len(collection.arrays["quality"]), len(points)), np.float32)
    for teacher in teachers:
        seen = _readable(collection, teacher)
        for index, step in enumerate(points):
            path = cache / f"{digest(f'{teacher.weights_id} {identity}'.encode())}-{step}.npy"
            if not path.exists():
                partial = path.with_suffix(".partial.npy")
                np.save(partial, _scores(teacher, seen, split, step))
                partial.rename(path)
            total[:, index] += np.load(path) / len(teachers)
    return total


def _readable(collection: Collection, teacher: Teacher) -> Collection:
    capture = collection.description.capture
    if teacher.grid != capture.height:
        raise ValueError(f"the teacher {teacher.name} reads maps of side {teacher.grid}, the data set holds {capture.height}")
    missing = [name for name in teacher.inputs if name != "timestep" and name not in collection.arrays]
    if missing:
        raise ValueError(f"the teacher {teacher.name} needs {missing[0]}, which the data set does not hold")
    return with_layers(collection, teacher.layers)


def _scores(teacher: Teacher, collection: Collection, split: str, step: int) -> np.ndarray:
    count = len(collection.arrays["quality"])
    parts = []
    for batch in Progress(f"{Path(teacher.name).name}: {split}, step {step}", 0, -(-count // BATCH), unit="batch"):
        parts.append(teacher.scorer.score(probe_inputs(collection, step, slice(batch * BATCH, (batch + 1) * BATCH))))
    scores = np.concatenate(parts)
    if not np.isfinite(scores).all():
        name = collection.sample_name(int(np.flatnonzero(~np.isfinite(scores))[0]))
        raise ValueError(f"the teacher {teacher.name} gives {name} a score that is not finite at step {step}")
    return scores
