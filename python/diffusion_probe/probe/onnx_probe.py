"""A probe's folder as the service sees it: the exported ONNX file, run by ONNX Runtime."""

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
