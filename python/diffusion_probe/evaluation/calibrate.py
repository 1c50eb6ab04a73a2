"""Calibration of an exported probe on held-out prompts: what turns its scores into decisions with a known risk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from ..data.dataset import with_layers
from ..data.shards import read_split
from ..probe.manifest import read_manifest, write_manifest
from ..probe.onnx_probe import OnnxProbe
from .scores import score_collection

QUANTILES = 201
SIGNIFICANT_DIGITS = 6


def calibrate(data: Path, folder: Path) -> None:
    """Run the exported probe on the calibration split and write `calibration` into its manifest."""
    probe = OnnxProbe(folder)
    collection = with_layers(read_split(data, "calibration"), probe.manifest["capture"]["layers"])
    manifest = read_manifest(folder)
    manifest["calibration"] = [
        calibration_at(step, score_collection(probe, collection, step), collection.quality, manifest["metric"]["good_at"])
        for step in (point["step"] for point in manifest["decision_points"])
    ]
    write_manifest(folder, manifest)


def calibration_at(step: int, scores: np.ndarray, quality: np.ndarray, good_at: float) -> dict[str, Any]:
    """The calibration entry of one decision point, from scores and qualities [prompts, seeds]. A quality may be nan: unknown.

    `good_scores` takes one sample per prompt, since the guarantee needs exchangeable samples and those of one prompt resemble
    each other. The other figures use all samples of known quality. Raises ValueError without any.
    """
    known = np.isfinite(quality)
    if not known.any():
        raise ValueError("no sample of the calibration split has a known quality")
    one = np.arange(len(scores)), np.arange(len(scores)) % scores.shape[1]
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


def rounded(values: np.ndarray) -> list[float]:
    """Plain numbers with few digits, still ascending."""
    return [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values]
