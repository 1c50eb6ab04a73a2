"""What a probe is fed for samples of a data set: the arrays, and a request to the service that holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import save

from ..probe.manifest import DTYPES
from .dataset import Collection


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


def score_body(collection: Collection, step: int, rows: np.ndarray, names: Sequence[str], model: str) -> bytes:
    """A request to the service for some samples at one step, in safetensors layout."""
    description = collection.description
    inputs = probe_inputs(collection, step, rows)
    dtypes = {"attention": "F16", "token_mask": "U8", "timestep": "F32", "token_ids": "I64", "preview": "F16"}
    tensors = {name: np.ascontiguousarray(inputs[name], DTYPES[dtypes[name]]) for name in names}
    metadata = {
        "model": model,
        "step": str(step),
        "total_steps": str(description.capture.total_steps),
        "capture_id": description.capture.capture_id,
    }
    return save(tensors, metadata)
