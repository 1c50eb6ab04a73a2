"""Scores that ONNX Runtime computes with an exported probe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from .manifest import DTYPES, read_manifest


class OnnxProbe:
    """An exported probe, loaded from its folder. Raises FileNotFoundError without a probe.json. `threads`: 0 means all cores."""

    def __init__(self, folder: Path, threads: int = 0):
        self.manifest = read_manifest(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch]. `inputs` have the manifest's names and shapes; they are cast to its dtypes."""
        feed = {
            entry["name"]: np.ascontiguousarray(inputs[entry["name"]], DTYPES[entry["dtype"]])
            for entry in self.manifest["inputs"]
        }
        return self.session.run(["score"], feed)[0]
