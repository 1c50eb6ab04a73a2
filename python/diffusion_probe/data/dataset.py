"""A data set: the `dataset.json` that says how its samples were made, and the samples of one split."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..probe.manifest import Capture, DecisionPoint, Metric
from .source import Source
from .stored import StoredField

SPLITS = ("train", "calibration", "test")
OUTLIERS = 0.001  # share of the training samples that may lie outside a metric's range, on either side


@dataclass(frozen=True)
class Description:
    """How a data set was made; every shard in its folder was made so."""

    backbone: str
    capture: Capture
    metric: Metric
    points: tuple[DecisionPoint, ...]
    seeds: dict[str, int]  # per split: samples per prompt

    def write(self, folder: Path) -> None:
        """Write `dataset.json`, or check it against the one there. Raises ValueError where they differ."""
        path = folder / "dataset.json"
        fields = json.loads(json.dumps(asdict(self)))
        if path.exists():
            present = json.loads(path.read_text())
            different = [name for name in fields if present.get(name) != fields[name]]
            if different:
                raise ValueError(f"{folder} holds samples made with another {', '.join(different)}: use another folder")
            return
        folder.mkdir(parents=True, exist_ok=True)
        # Of several processes that begin at once, each writes the same under a name of its own.
        partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        partial.write_text(json.dumps(fields, indent=2) + "\n")
        os.replace(partial, path)

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read `dataset.json`. Raises FileNotFoundError where there is none."""
        path = folder / "dataset.json"
        if not path.exists():
            raise FileNotFoundError(f"no dataset.json in {folder}: run 'diffusion-probe collect' first")
        fields = json.loads(path.read_text())
        return cls(
            backbone=fields["backbone"],
            capture=Capture.from_dict(fields["capture"]),
            metric=Metric.from_dict(fields["metric"]),
            points=tuple(DecisionPoint(**point) for point in fields["points"]),
            seeds=fields["seeds"],
        )


@dataclass
class Collection:
    """The samples of one split, grouped by prompt: sample i belongs to prompt i // seeds."""

    description: Description
    split: str
    prompts: list[str]
    arrays: dict[str, np.ndarray | StoredField]

    @property
    def seeds(self) -> int:
        """Samples per prompt."""
        return self.description.seeds[self.split]

    @property
    def quality(self) -> np.ndarray:
        """float32 [prompts, seeds]."""
        return self.arrays["quality"].reshape(len(self.prompts), self.seeds)

    def point_index(self, step: int) -> int:
        """Where a step stands among the points. Raises ValueError for a step that was not watched."""
        steps = [point.step for point in self.description.points]
        if step not in steps:
            raise ValueError(f"step {step} was not collected: expected one of {steps}")
        return steps.index(step)

    def per_prompt(self, field: str, step: int) -> np.ndarray:
        """A per-point figure at one step: float32 [prompts, seeds]."""
        return self.arrays[field][:, self.point_index(step)].reshape(len(self.prompts), self.seeds)

    def take(self, prompts: Sequence[int]) -> Collection:
        """The same for some of the prompts only."""
        rows = (np.asarray(prompts)[:, None] * self.seeds + np.arange(self.seeds)).reshape(-1)
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return Collection(self.description, self.split, [self.prompts[index] for index in prompts], arrays)

    def scored(self, samples: int | None = None) -> Collection:
        """The prompts of which the metric has judged at least so many samples, by default all. Raises ValueError without any."""
        judged = np.isfinite(self.quality).sum(axis=1)
        prompts = np.flatnonzero(judged >= (self.seeds if samples is None else samples))
        if not len(prompts):
            raise ValueError(f"the metric has judged too few samples of the {self.split} split: no prompt is left")
        return self if len(prompts) == len(self.prompts) else self.take(prompts)

    def with_metric(self, metric: Metric) -> Collection:
        """The same, judged by the range and the `good_at` of a probe."""
        return replace(self, description=replace(self.description, metric=metric))


def describe(source: Source, steps: Sequence[int], seeds: dict[str, int]) -> Description:
    """The description of what will be collected from a source."""
    return Description(source.name, source.capture, source.metric, source.points(steps), seeds)


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
    narrowed = replace(capture, layers=tuple(layers))
    return replace(collection, description=replace(collection.description, capture=narrowed), arrays=arrays)


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
