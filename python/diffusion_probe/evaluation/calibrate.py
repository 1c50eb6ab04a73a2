"""Calibration of an exported probe on held-out prompts: what turns its scores into decisions with a known risk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from ..data.dataset import Collection, with_layers
from ..data.shards import read_split
from ..probe.manifest import Metric, read_manifest, write_manifest
from ..probe.onnx_probe import OnnxProbe
from .scores import score_collection

QUANTILES = 201
SIGNIFICANT_DIGITS = 6


def calibrate(data: Path, folder: Path) -> None:
    """Run the exported probe on the calibration split and write `calibration` into its manifest."""
    probe = OnnxProbe(folder)
    collection = with_layers(read_split(data, "calibration"), probe.manifest["capture"]["layers"])
    manifest = read_manifest(folder)
    collection = collection.with_metric(Metric.from_dict(manifest["metric"]))
    manifest["calibration"] = [
        calibration_at(step, score_collection(probe, collection, step), collection)
        for step in (point["step"] for point in manifest["decision_points"])
    ]
    write_manifest(folder, manifest)


def calibration_at(step: int, scores: np.ndarray, collection: Collection) -> dict[str, Any]:
    """The calibration entry of one decision point, from scores [prompts, seeds].

    `good_scores` takes one sample per prompt, since the guarantee needs samples that are exchangeable: samples of one prompt
    resemble each other. The other figures use all samples. One whose quality is not known (nan) is in none of them.
    """
    good_at = collection.description.metric.good_at
    quality = collection.quality
    known = np.isfinite(quality)
    if not known.any():
        raise ValueError("the metric has judged no sample of the calibration split")
    one = np.arange(len(scores)), np.arange(len(scores)) % collection.seeds
    good = np.sort(scores[one][quality[one] >= good_at])
    curve = IsotonicRegression(y_min=0, y_max=1).fit(scores[known], quality[known] >= good_at)
    return {
        "step": step,
        "captions": len(scores),
        "samples": int(known.sum()),
        "scores": rounded(np.quantile(scores[known], np.linspace(0, 1, QUANTILES))),
        "good_scores": rounded(good),
        "p_good": {"score": rounded(curve.X_thresholds_), "probability": rounded(curve.y_thresholds_)},
    }


def conformal_threshold(good_scores: np.ndarray, alpha: float) -> float | None:
    """The threshold of the policy `max_false_drop`, computed as in the service; None where `alpha` needs more good samples.

    It is the floor(alpha (n + 1))-th smallest of n good calibration scores. Dropping what scores strictly below it drops a good
    sample with a probability of at most `alpha`, as long as calibration samples and new ones are exchangeable (split conformal
    prediction).
    """
    rank = math.floor(alpha * (len(good_scores) + 1) + 1e-9)
    return None if rank < 1 else float(np.sort(good_scores)[rank - 1])


def rounded(values: np.ndarray) -> list[float]:
    """Plain numbers with few digits, still ascending."""
    return [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values]
