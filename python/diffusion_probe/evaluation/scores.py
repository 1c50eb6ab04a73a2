"""The scores that an exported probe gives the samples of a split, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..data.dataset import Collection
from ..data.inputs import probe_inputs
from ..probe.onnx_probe import OnnxProbe
from ..progress import Progress

BATCH_SAMPLES = 64
SCORE_DIGITS = 5


def score_collection(probe: OnnxProbe, collection: Collection, step: int) -> np.ndarray:
    """Scores of all samples of a split at one step: float32 [prompts, seeds]."""
    parts = []
    for start in Progress(f"score step {step}", 0, -(-len(collection.arrays["quality"]) // BATCH_SAMPLES), unit="batch"):
        rows = slice(start * BATCH_SAMPLES, (start + 1) * BATCH_SAMPLES)
        parts.append(probe.score(probe_inputs(collection, step, rows)))
    return np.concatenate(parts).reshape(len(collection.prompts), collection.seeds)


def write_scores(path: Path, collection: Collection, scores_of: dict[int, np.ndarray]) -> None:
    """Write score and quality of every sample, per caption and seed: what decisions can be studied with, without images."""
    path.write_text(
        json.dumps(
            {
                "captions": collection.prompts,
                "good_at": collection.description.metric.good_at,
                "steps": {str(step): {"scores": short(scores)} for step, scores in scores_of.items()},
                "quality": short(collection.quality),
            },
            separators=(",", ":"),
        )
        + "\n"
    )


def short(values: np.ndarray) -> list[list[float]]:
    """Plain numbers [prompts, seeds] with few digits."""
    return [[round(float(value), SCORE_DIGITS) for value in row] for row in values]
