"""Export of a trained probe to a folder that the service loads: model.onnx, selftest.safetensors and probe.json."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.numpy import save
from torch import nn

from .dataset import Collection, read_split
from .manifest import SCHEMA_VERSION, Metric, Point, write_manifest
from .probe import PREVIEW, Probe
from .scorer import DTYPES, OnnxProbe, probe_inputs
from .train import load_probe, with_layers

OPSET = 18
SELFTEST_SAMPLES = 4
SELFTEST_TOLERANCE = 2e-3
EXPORT_TOLERANCE = 1e-4
TIMESTEP_TOLERANCE = 2.0
HALF_FROM_ELEMENTS = 1024


def export_probe(data: Path, checkpoint: Path, folder: Path, name: str, version: int, good_at: float | None = None) -> None:
    """Write the probe's folder, without calibration or evaluation: those read what is written here.

    `good_at`: the quality from which an image counts as good; None takes the data set's, or where that leaves it open the
    median of the training split. Raises ValueError where it lies outside the metric's range.
    """
    probe, layers = load_probe(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    fields = [
        "attention",
        "token_mask",
        "token_ids",
        "quality",
        *([PREVIEW] if PREVIEW in probe.config.signals else []),
    ]
    collection = with_layers(read_split(data, "train", fields, prompts=32), layers)
    export_onnx(probe, folder / "model.onnx")
    description = collection.description
    metric = fixed_metric(data, probe, good_at)
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "backbone": description.backbone,
        "capture": asdict(description.capture),
        "capture_id": description.capture.capture_id,
        "metric": asdict(metric),
        "inputs": [asdict(signal) for signal in probe.config.inputs()],
        "output": {"name": "score", "dtype": "F32", "shape": ["batch"]},
        "decision_points": [decision_point(point) for point in description.points],
        "calibration": [],
        "evaluation": {},
        "selftest": {},
        "files": {"model.onnx": "", "selftest.safetensors": ""},
    }
    step = description.points[len(description.points) // 2].step
    rows = np.arange(SELFTEST_SAMPLES) * collection.seeds
    inputs = probe_inputs(collection, step, rows)
    body = score_body(collection, step, rows, [entry["name"] for entry in manifest["inputs"]], f"{name}@{version}")
    (folder / "selftest.safetensors").write_bytes(body)
    (folder / "probe.json").write_text(json.dumps(manifest))
    scores = torch_scores(probe, inputs)
    difference = float(np.abs(OnnxProbe(folder).score(inputs) - scores).max())
    if difference > EXPORT_TOLERANCE:
        raise ValueError(f"the exported graph differs from PyTorch by {difference:.2g}: expected at most {EXPORT_TOLERANCE:g}")
    manifest["selftest"] = {
        "input": "selftest.safetensors",
        "scores": [round(float(score), 6) for score in scores],
        "tolerance": SELFTEST_TOLERANCE,
    }
    write_manifest(folder, manifest)


def fixed_metric(data: Path, probe: Probe, good_at: float | None) -> Metric:
    """The metric with the range that the probe was trained for and its `good_at`, both fixed on training data."""
    training = read_split(data, "train", ["quality"])
    metric = training.description.metric
    if good_at is None:
        good_at = float(np.nanmedian(training.quality)) if metric.good_at is None else metric.good_at
    low, high = probe.config.metric_range
    if not low <= good_at <= high:
        raise ValueError(f"good at {good_at:g}: expected a quality from {low:g} to {high:g}, the range of {metric.name}")
    return Metric(metric.name, (low, high), good_at)


@torch.no_grad()
def torch_scores(probe: Probe, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """What PyTorch itself says: the selftest holds these scores, so every load proves the runtime equal to it."""
    return probe.eval()(
        *[torch.from_numpy(np.ascontiguousarray(inputs[signal.name])) for signal in probe.config.inputs()]
    ).numpy()


def decision_point(point: Point) -> dict[str, Any]:
    """A point as the manifest lists it."""
    return {"step": point.step, "timestep": point.timestep, "tolerance": TIMESTEP_TOLERANCE}


def score_body(collection: Collection, step: int, rows: np.ndarray, names: Sequence[str], model: str) -> bytes:
    """A request to the service for some samples at one step, in safetensors layout."""
    description = collection.description
    inputs = probe_inputs(collection, step, rows)
    dtypes = {"attention": "F16", "token_mask": "U8", "timestep": "F32", "token_ids": "I64", PREVIEW: "F16"}
    tensors = {name: np.ascontiguousarray(inputs[name], DTYPES[dtypes[name]]) for name in names}
    metadata = {
        "model": model,
        "step": str(step),
        "total_steps": str(description.capture.total_steps),
        "capture_id": description.capture.capture_id,
    }
    return save(tensors, metadata)


def export_onnx(probe: Probe, path: Path) -> None:
    """Write the graph, with dynamic batch and token axes; weights are float32."""
    batch, tokens = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("tokens", min=1, max=4096)
    examples, axes = [], []
    for signal in probe.config.inputs():
        shape = [{"batch": 3, "tokens": 5}.get(axis, axis) for axis in signal.shape]
        dtype = {"F16": torch.float16, "F32": torch.float32, "U8": torch.uint8, "I64": torch.int64}[signal.dtype]
        examples.append(torch.ones(shape, dtype=dtype))
        axes.append({i: {"batch": batch, "tokens": tokens}[axis] for i, axis in enumerate(signal.shape) if isinstance(axis, str)})
    names = [signal.name for signal in probe.config.inputs()]
    fixed = len(names) - len(probe.config.signals)  # the declared signals are one variadic argument
    shapes = (*axes[:fixed], tuple(axes[fixed:])) if probe.config.signals else tuple(axes)
    export_graph(probe, tuple(examples), names, ["score"], shapes, path)


def export_graph(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    axes: tuple[Any, ...],
    path: Path,
    compact: bool = False,
) -> None:
    """Export a module to one ONNX file without external data or traces of the machine it was made on.

    `compact` stores large weights as float16, which halves the file, and keeps the names of all weights, so that they can be
    read back; ONNX Runtime widens and folds them when it loads the graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            optimize=not compact,
        )
    model = strip(program.model_proto)
    if compact:
        store_half(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop names of source files and traces that the exporter leaves in a graph."""
    model.doc_string = ""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.value_info[:]
    return model


def store_half(model: onnx.ModelProto) -> None:
    """Turn every large float32 weight into a float16 one behind a Cast; ONNX Runtime folds the Cast when it loads the graph."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < HALF_FROM_ELEMENTS:
            continue
        name = weight.name
        values = onnx.numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
