"""Exports a trained probe to the folder that the service loads: model.onnx, selftest.safetensors and probe.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Collection, with_layers
from ..data.inputs import probe_inputs, score_body
from ..data.shards import read_split
from ..evaluation.scores import score_collection
from ..fingerprint import fingerprint
from ..probe.blocks import Network
from ..probe.manifest import SCHEMA_VERSION, Metric, write_manifest
from ..probe.onnx_export import export_onnx
from ..probe.onnx_probe import OnnxProbe
from ..probe.quantize import quantize_convolutions
from .checkpoint import load_probe, training_of

EXAMPLE_PROMPTS = 32  # of the training split
SELFTEST_SAMPLES = 4
SELFTEST_TOLERANCE = 2e-3
EXPORT_TOLERANCE = 1e-4
TIMESTEP_TOLERANCE = 2.0


def export_probe(
    data: Path, checkpoint: Path, folder: Path, name: str, version: int, good_at: float | None = None, int8: bool = False
) -> None:
    """Write the probe's folder. Calibration and figures stay empty: their commands fill them in from this folder.

    `good_at`: the quality from which an image counts as good; None means the data set's, or without one the median of the
    training split. `int8`: the convolutions compute with int8, in ranges that training samples set; prints how much that changes
    the scores. Raises ValueError when `good_at` lies outside the metric's range, or when ONNX Runtime's scores differ from
    PyTorch's before that.
    """
    probe, layers = load_probe(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    fields = list(dict.fromkeys(["attention", "token_mask", "token_ids", "quality", *probe.config.signals]))
    collection = with_layers(read_split(data, "train", fields, prompts=EXAMPLE_PROMPTS), layers)
    export_onnx(probe, folder / "model.onnx")
    description = collection.description
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "backbone": description.backbone,
        "capture": asdict(description.capture),
        "capture_id": description.capture.capture_id,
        "conditions": description.conditions,
        "conditions_id": fingerprint(description.conditions),
        "total_steps": description.total_steps,
        "metric": asdict(fixed_metric(data, probe, good_at)),
        "inputs": [asdict(spec) for spec in probe.config.inputs()],
        "output": {"name": "score", "dtype": "F32", "shape": ["batch"]},
        "decision_points": [{**asdict(point), "tolerance": TIMESTEP_TOLERANCE} for point in description.points],
        "calibration": [],
        "trajectories": None,
        "plans": [],
        "evaluation": training_of(checkpoint),
        "selftest": {},
        "files": {"model.onnx": "", "selftest.safetensors": ""},
    }
    step = description.points[len(description.points) // 2].step
    rows = np.arange(SELFTEST_SAMPLES) * collection.seeds
    inputs = probe_inputs(collection, step, rows)
    body = score_body(collection, step, rows, [entry["name"] for entry in manifest["inputs"]], f"{name}@{version}")
    (folder / "selftest.safetensors").write_bytes(body)
    (folder / "probe.json").write_text(json.dumps(manifest))
    scores = probe.score(inputs)
    exported = OnnxProbe(folder)
    difference = float(np.abs(exported.score(inputs) - scores).max())
    if difference > EXPORT_TOLERANCE:
        raise ValueError(f"the exported graph differs from PyTorch by {difference:.2g}: expected at most {EXPORT_TOLERANCE:g}")
    if int8:
        scores = _quantized(exported, folder, collection).score(inputs)
    manifest["selftest"] = {
        "input": "selftest.safetensors",
        "scores": [round(float(score), 6) for score in scores],
        "tolerance": SELFTEST_TOLERANCE,
    }
    write_manifest(folder, manifest)


def _quantized(exact: OnnxProbe, folder: Path, collection: Collection) -> OnnxProbe:
    """Make the convolutions of the folder's graph int8, and print how much that changes the scores of the collection."""
    steps = [point.step for point in collection.description.points]
    quantize_convolutions(folder / "model.onnx", (exact.feed(inputs) for inputs in _prompt_inputs(collection, steps)))
    quantized = OnnxProbe(folder)
    before, after = (np.stack([score_collection(probe, collection, step) for step in steps]) for probe in (exact, quantized))
    changes = np.abs(after - before)
    changed = f"by {changes.mean():.4f} on average, at most by {changes.max():.4f}"
    print(f"int8 changes the scores of {changes.size} training samples {changed}")
    return quantized


def _prompt_inputs(collection: Collection, steps: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of each prompt's samples at each of the steps."""
    for step in steps:
        for first in range(0, collection.quality.size, collection.seeds):
            yield probe_inputs(collection, step, slice(first, first + collection.seeds))


def fixed_metric(data: Path, probe: Network, good_at: float | None) -> Metric:
    """The data set's metric, with the range that the probe was trained for and with `good_at` or its default."""
    training = read_split(data, "train", ["quality"])
    metric = training.description.metric
    if good_at is None:
        good_at = float(np.nanmedian(training.quality)) if metric.good_at is None else metric.good_at
    low, high = probe.config.metric_range
    if not low <= good_at <= high:
        raise ValueError(f"good at {good_at:g}: expected a quality from {low:g} to {high:g}, the range of {metric.name}")
    return Metric(metric.name, (low, high), good_at)
