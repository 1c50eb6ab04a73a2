"""Calibration of an exported probe on held-out prompts: what turns its scores into decisions with a known risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from ..data.dataset import CALIBRATION_MORE, Collection, with_layers
from ..data.shards import read_split
from ..probe.manifest import read_manifest, write_manifest
from ..probe.onnx_probe import OnnxProbe
from .confidence import effective_count, false_drop_curve
from .rounding import rounded
from .scores import score_collection
from .trajectories import TRAJECTORIES, write_trajectories

QUANTILES = 201


def calibrate(data: Path, folder: Path) -> None:
    """Run the exported probe on the calibration split. Writes `calibration` into its manifest, and its trajectories."""
    probe = OnnxProbe(folder)
    manifest = read_manifest(folder)
    parts = [with_layers(part, manifest["capture"]["layers"]) for part in calibration_parts(data)]
    steps = [point["step"] for point in manifest["decision_points"]]
    scores = {step: beside([score_collection(probe, part, step) for part in parts]) for step in steps}
    quality = beside([part.quality for part in parts])
    good_at = manifest["metric"]["good_at"]
    manifest["calibration"] = [calibration_at(step, scores[step], quality, good_at) for step in steps]
    manifest["trajectories"] = TRAJECTORIES
    manifest["files"][TRAJECTORIES] = ""
    manifest["plans"] = []  # they were computed from the trajectories before
    write_trajectories(folder, scores, quality)
    write_manifest(folder, manifest)


def calibration_parts(data: Path) -> list[Collection]:
    """The calibration split and, where it was collected, the part with more seeds of its first prompts.

    Raises ValueError where that part holds other prompts.
    """
    first = read_split(data, "calibration")
    if not any(data.glob(f"{CALIBRATION_MORE}-*.safetensors")):
        return [first]
    more = read_split(data, CALIBRATION_MORE)
    if more.prompts != first.prompts[: len(more.prompts)]:
        raise ValueError(f"the prompts of {CALIBRATION_MORE} in {data} are not the first ones of calibration: collect them again")
    return [first, more]


def beside(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join arrays [prompts, seeds] of the same first prompts along seeds; nan where a prompt has fewer seeds than others."""
    joined = np.full((len(parts[0]), sum(part.shape[1] for part in parts)), np.nan, np.float32)
    start = 0
    for part in parts:
        joined[: len(part), start : start + part.shape[1]] = part
        start += part.shape[1]
    return joined


def calibration_at(step: int, scores: np.ndarray, quality: np.ndarray, good_at: float) -> dict[str, Any]:
    """The calibration entry of one decision point, from scores and qualities [prompts, seeds]. A quality may be nan: unknown.

    A score is nan where a prompt has fewer seeds than others, behind its last one.
    `good_scores` takes one sample per prompt: the marginal guarantee needs exchangeable samples, and those of one prompt
    resemble each other. The other figures use all samples of known quality. Raises ValueError without any.
    """
    if not np.isfinite(quality).any():
        raise ValueError("no sample of the calibration split has a known quality")
    present = np.isfinite(scores)
    samples = CalibrationSamples(np.nonzero(present)[0], scores[present], quality[present], np.ones(int(present.sum())))
    return calibration_entry(step, samples, good_at)


@dataclass(frozen=True)
class CalibrationSamples:
    """n samples in the order of their captions: at one decision point."""

    caption: np.ndarray  # int [n], ascending
    scores: np.ndarray  # float [n]
    quality: np.ndarray  # float [n], nan where unknown
    weight: np.ndarray  # float64 [n], one over the probability that the sample was finished

    def __len__(self) -> int:
        return len(self.caption)

    def take(self, which: np.ndarray) -> CalibrationSamples:
        """Some of the samples, in order."""
        return CalibrationSamples(self.caption[which], self.scores[which], self.quality[which], self.weight[which])


def calibration_entry(step: int, samples: CalibrationSamples, good_at: float) -> dict[str, Any]:
    """The calibration entry of one decision point, from at least one sample of known quality.

    With different weights every figure is that of all samples, finished or not. `good_scores` then holds so many quantiles as the
    good samples, one per caption, count for by their weights.
    """
    known = samples.take(np.isfinite(samples.quality))
    is_good = known.quality >= good_at
    good = known.take(is_good)
    weight = known.weight if np.ptp(known.weight) else None
    false_drop = false_drop_curve(good.scores.astype(np.float64), good.caption, None if weight is None else good.weight)
    curve = IsotonicRegression(y_min=0, y_max=1).fit(known.scores, is_good, sample_weight=weight)
    captions, first, sizes = np.unique(samples.caption, return_index=True, return_counts=True)
    one = samples.take(first + np.arange(len(captions)) % sizes)
    good_one = one.take(one.quality >= good_at)
    return {
        "step": step,
        "captions": len(captions),
        "samples": len(known),
        "scores": rounded(_quantiles(known.scores, np.linspace(0, 1, QUANTILES), weight)),
        "good_scores": rounded(np.sort(good_one.scores) if weight is None else _thinned(good_one)),
        "p_good": {"score": rounded(curve.X_thresholds_), "probability": rounded(curve.y_thresholds_)},
        "false_drop": false_drop and false_drop.entry(),
    }


def _quantiles(values: np.ndarray, at: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    return np.quantile(values, at) if weight is None else np.quantile(values, at, weights=weight, method="inverted_cdf")


def _thinned(good: CalibrationSamples) -> np.ndarray:
    count = int(effective_count(good.weight))
    return _quantiles(good.scores, (np.arange(count) + 0.5) / count, good.weight) if count else np.empty(0)
