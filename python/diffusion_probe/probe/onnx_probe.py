"""Scores that ONNX Runtime computes with an exported probe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# ONNX Runtime 1.29 and later sends telemetry on Linux unless this is set before its library loads.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from .manifest import DTYPES, read_manifest


class OnnxProbe:
    """An exported probe, loaded from its folder.

    `threads`: 0 means all cores. Raises FileNotFoundError without a probe.json, and ValueError for a model.onnx that refers to
    weights in other files: those would not be in the hashes of the manifest.
    """

    def __init__(self, folder: Path, threads: int = 0):
        self.manifest = read_manifest(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = _session(folder / "model.onnx", options)

    def score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores, float32 [batch]. `inputs` have the manifest's names and shapes; they are cast to its dtypes."""
        return self.session.run(["score"], self.feed(inputs))[0]

    def feed(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs that the manifest names, in its dtypes."""
        return {
            entry["name"]: np.ascontiguousarray(inputs[entry["name"]], DTYPES[entry["dtype"]])
            for entry in self.manifest["inputs"]
        }


def _session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as empty:
        # ONNX Runtime looks for the files that a graph refers to here, and finds none.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
        try:
            return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if "xternal data" in str(error):
                raise ValueError(f"{path} refers to weights in another file: expected all weights inside of it") from error
            raise
