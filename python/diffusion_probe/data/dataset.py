"""The description of a data set (`dataset.json`), and the samples of one of its splits."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..conditions.differences import Conditions, describe_differences, differences
from ..probe.manifest import Capture, DecisionPoint, Metric
from .lazy_array import LazyArray
from .source import Source

SPLITS = ("train", "calibration", "test")
UNLABELLED = "unlabelled"  # prompts for distillation: their images are not finished and have no quality
UNLABELLED_STEPS = 10  # the denoiser calls of an unlabelled sample
CALIBRATION_MORE = "calibration_more"  # further seeds of the first prompts of the calibration split
PREVIEW_QUALITY = "preview_quality"  # the field of the metric of the preview, float32 [samples, points]
FINGERPRINT_SAMPLES = 32  # whose maps are read for a fingerprint
OUTLIERS = 0.001  # share of the training samples outside a metric's range, on either side


@dataclass(frozen=True)
class Description:
    """How all samples of a data set were made."""

    backbone: str
    capture: Capture
    conditions: Conditions  # how the images were drawn
    total_steps: int  # evaluations of the denoiser in a run
    metric: Metric
    points: tuple[DecisionPoint, ...]
    seeds: dict[str, int]  # per split: samples per prompt

    def first_seed(self, split: str) -> int:
        """The seed of the first sample of each prompt."""
        return self.seeds["calibration"] if split == CALIBRATION_MORE else 0

    def of_split(self, split: str) -> Description:
        """The same with the decision points that a split has: an unlabelled sample has none after its last denoiser call."""
        if split != UNLABELLED:
            return self
        return replace(self, points=tuple(point for point in self.points if point.step <= UNLABELLED_STEPS))

    def write(self, folder: Path) -> None:
        """Write `dataset.json`, or check it against the one there. Raises ValueError if they differ."""
        path = folder / "dataset.json"
        fields = json.loads(json.dumps(asdict(self)))
        if path.exists():
            present = json.loads(path.read_text())
            different = differences(fields, present)
            if different:
                raise ValueError(
                    f"{folder} holds samples made with another {describe_differences(different)}: use another folder"
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        # Processes that start together write the same content, each to a file name of its own.
        partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        partial.write_text(json.dumps(fields, indent=2) + "\n")
        os.replace(partial, path)

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read `dataset.json`. Raises FileNotFoundError without one."""
        path = folder / "dataset.json"
        if not path.exists():
            raise FileNotFoundError(f"no dataset.json in {folder}: run 'diffusion-probe collect' first")
        fields = json.loads(path.read_text())
        if "conditions" not in fields:
            raise ValueError(f"{path} was written by version 0.2 or before, without conditions: collect the samples again")
        return cls(
            backbone=fields["backbone"],
            capture=Capture.from_dict(fields["capture"]),
            conditions=fields["conditions"],
            total_steps=fields["total_steps"],
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
    arrays: dict[str, np.ndarray | LazyArray]

    @property
    def seeds(self) -> int:
        """Samples per prompt."""
        return self.description.seeds[self.split]

    @property
    def quality(self) -> np.ndarray:
        """float32 [prompts, seeds]."""
        return self.arrays["quality"].reshape(len(self.prompts), self.seeds)

    def point_index(self, step: int) -> int:
        """Index of a step among the captured points. Raises ValueError for a step that was not collected."""
        steps = [point.step for point in self.description.points]
        if step not in steps:
            raise ValueError(f"step {step} was not collected: expected one of {steps}")
        return steps.index(step)

    def at_step(self, field: str, step: int) -> np.ndarray:
        """A field of one number per sample and point, at one step: float32 [prompts, seeds]."""
        return self.arrays[field][:, self.point_index(step)].reshape(len(self.prompts), self.seeds)

    def take(self, prompts: Sequence[int]) -> Collection:
        """The samples of some prompts, in the order of these indices."""
        samples = (np.asarray(prompts)[:, None] * self.seeds + np.arange(self.seeds)).reshape(-1)
        arrays = {name: array[samples] for name, array in self.arrays.items()}
        return Collection(self.description, self.split, [self.prompts[index] for index in prompts], arrays)

    def sample_name(self, sample: int) -> str:
        """The split, prompt and seed of a sample, for messages."""
        seed = self.description.first_seed(self.split) + sample % self.seeds
        return f"the sample of seed {seed} of the {self.split} prompt {self.prompts[sample // self.seeds]!r}"

    def fingerprint(self) -> str:
        """A hash of the description, the prompts, all arrays in memory, and the lazy arrays of some samples."""
        digest = hashlib.sha256(json.dumps([asdict(self.description), self.prompts]).encode())
        some = np.unique(np.linspace(0, len(self.arrays["quality"]) - 1, FINGERPRINT_SAMPLES).astype(int))
        for name, array in sorted(self.arrays.items()):
            digest.update(name.encode())
            for point in range(array.shape[1]) if isinstance(array, LazyArray) else [None]:
                digest.update((array if point is None else array[some, point]).tobytes())
        return digest.hexdigest()[:16]

    def with_quality(self, min_samples: int | None = None) -> Collection:
        """The prompts with at least so many samples of known quality, by default all. Raises ValueError if there are none."""
        known = np.isfinite(self.quality).sum(axis=1)
        prompts = np.flatnonzero(known >= (self.seeds if min_samples is None else min_samples))
        if not len(prompts):
            raise ValueError(f"the metric failed on too many samples of the {self.split} split: no prompt is left")
        return self if len(prompts) == len(self.prompts) else self.take(prompts)


def describe(source: Source, steps: Sequence[int], seeds: dict[str, int]) -> Description:
    """The description of a data set that is collected from a source."""
    return Description(
        source.name, source.capture, source.conditions, source.total_steps, source.metric, source.points(steps), seeds
    )


def with_layers(collection: Collection, layers: Sequence[str] | None) -> Collection:
    """The same samples with only these of the captured layers. Raises ValueError for a layer that was not captured."""
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
    """The same samples with a metric range: where the data set has none, that of all but the outermost qualities.

    Raises ValueError where nearly all qualities are equal.
    """
    metric = collection.description.metric
    if metric.range is not None:
        return collection
    known = collection.quality[np.isfinite(collection.quality)]
    low, high = (float(value) for value in np.quantile(known, [OUTLIERS, 1 - OUTLIERS]))
    if low == high:
        raise ValueError(f"{metric.name} is {low:g} for nearly every image: there is nothing to learn")
    description = replace(collection.description, metric=replace(metric, range=(low, high)))
    return replace(collection, description=description)
