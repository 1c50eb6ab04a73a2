"""Collected samples on disk: a folder of safetensors shards and a `dataset.json` that says how they were made."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .manifest import Capture, Metric, Point
from .source import Samples, Source
from .stored import StoredField, StoredPart

SPLITS = ("train", "calibration", "test")
FIELDS = tuple(field.name for field in dataclass_fields(Samples))
TOKEN_AXIS = {"attention": 3, "token_mask": 1, "token_ids": 1, "subject_mask": 1}
STORED = ("attention", "preview", "image")  # too large to be held: they stay on disk, and are read batch by batch


@dataclass(frozen=True)
class Description:
    """How a data set was made; every shard in its folder was made so."""

    backbone: str
    capture: Capture
    metric: Metric
    points: tuple[Point, ...]
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
            points=tuple(Point(**point) for point in fields["points"]),
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


def shard_path(folder: Path, split: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{split}-{index:05d}.safetensors"


def write_shard(path: Path, samples: Samples, prompts: Sequence[str]) -> None:
    """Write a shard so that a kill leaves none or a whole one. `prompts`: one per group of seeds."""
    partial = path.with_suffix(".partial")
    known = {name: getattr(samples, name) for name in FIELDS}
    arrays = {name: np.ascontiguousarray(array) for name, array in known.items() if array is not None}
    save_file(arrays, partial, metadata={"prompts": json.dumps(list(prompts))})
    os.replace(partial, path)


def shard_prompts(path: Path) -> list[str]:
    """The prompts of a shard, one per group of seeds."""
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["prompts"])


def read_split(folder: Path, split: str, fields: Sequence[str] = FIELDS, prompts: int | None = None) -> Collection:
    """The shards of a split, or the first of them until `prompts` are there; of `fields` those that the shards hold.

    Small fields are read, those in `STORED` are left where they are. Raises FileNotFoundError if there are none,
    and ValueError for a damaged one.
    """
    description = Description.read(folder)
    names: list[str] = []
    parts: list[dict[str, np.ndarray | StoredPart]] = []
    for path in sorted(folder.glob(f"{split}-*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                names.extend(json.loads(file.metadata()["prompts"]))
                held = set(file.keys())
                parts.append({name: _part(path, file, name) for name in fields if name in held})
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged, delete it and collect it again: {error}") from error
        if prompts is not None and len(names) >= prompts:
            break
    if not parts:
        raise FileNotFoundError(f"no shards of split '{split}' in {folder}: run 'diffusion-probe collect' first")
    arrays = {name: _whole(name, [part[name] for part in parts]) for name in parts[0]}
    collection = Collection(description, split, names, arrays)
    return collection if prompts is None else collection.take(range(min(prompts, len(names))))


def _part(path: Path, file: Any, name: str) -> np.ndarray | StoredPart:
    return StoredPart.find(path, name) if name in STORED else file.get_tensor(name)


def _whole(name: str, parts: list[Any]) -> np.ndarray | StoredField:
    return StoredField(parts, TOKEN_AXIS.get(name)) if name in STORED else join(name, parts)


def join(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate a field along samples without ever holding everything twice; fewer tokens are padded with zeros.

    `parts` is empty afterwards.
    """
    shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
    axis = TOKEN_AXIS.get(name, 0)
    if axis:
        shape[axis] = max(part.shape[axis] for part in parts)
    joined = np.zeros(shape, parts[0].dtype)
    start = 0
    while parts:
        part = parts.pop(0)
        rows = joined[start : start + len(part)]
        rows[tuple(slice(0, side) for side in part.shape)] = part
        start += len(part)
    return joined


def describe(source: Source, steps: Sequence[int], seeds: dict[str, int]) -> Description:
    """The description of what will be collected from a source."""
    return Description(source.name, source.capture, source.metric, source.points(steps), seeds)
