"""A probe's folder as the service sees it: the exported ONNX file, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from .dataset import Collection
from .manifest import read_manifest

DTYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8, "I64": np.int64}
BATCH_SAMPLES = 64


class OnnxProbe:
    """An exported probe. Raises FileNotFoundError where the folder holds none."""

    def __init__(self, folder: Path, threads: int = 0):
        self.manifest = read_manifest(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch], for inputs named and shaped as the manifest says; dtypes are brought to the manifest's."""
        feed = {
            entry["name"]: np.ascontiguousarray(inputs[entry["name"]], DTYPES[entry["dtype"]])
            for entry in self.manifest["inputs"]
        }
        return self.session.run(["score"], feed)[0]

    def score_collection(self, collection: Collection, step: int) -> np.ndarray:
        """Scores of all samples of a split at one step: float32 [prompts, seeds]."""
        from .training import Progress  # brings PyTorch, which scoring itself does without

        parts = []
        for start in Progress(f"score step {step}", 0, -(-len(collection.arrays["quality"]) // BATCH_SAMPLES), unit="batch"):
            rows = slice(start * BATCH_SAMPLES, (start + 1) * BATCH_SAMPLES)
            parts.append(self.score(probe_inputs(collection, step, rows)))
        return np.concatenate(parts).reshape(len(collection.prompts), collection.seeds)


def probe_inputs(collection: Collection, step: int, rows: slice | np.ndarray) -> dict[str, np.ndarray]:
    """What a probe may be fed for some samples at one step, under the names of the contract."""
    point = collection.point_index(step)
    arrays = collection.arrays
    attention = arrays["attention"][rows, point]
    inputs = {
        "attention": attention,
        "token_mask": arrays["token_mask"][rows],
        "timestep": np.full(len(attention), collection.description.points[point].timestep, np.float32),
    }
    if "token_ids" in arrays:
        inputs["token_ids"] = arrays["token_ids"][rows]
    if "preview" in arrays:
        inputs["preview"] = (arrays["preview"][rows, point].astype(np.float32) / 127.5 - 1).astype(np.float16)
    return inputs
