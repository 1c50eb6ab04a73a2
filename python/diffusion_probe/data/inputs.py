"""Inputs of a probe for samples of a data set: as arrays, and as the body of a request to the service."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import save

from ..fingerprint import fingerprint
from .dataset import Collection


def probe_inputs(collection: Collection, step: int, samples: slice | np.ndarray) -> dict[str, np.ndarray]:
    """Every input that the data set has for these samples at one step, named as in the manifest.

    A preview is stored as uint8 0 to 255, and returned as float16 -1 to 1. Raises ValueError, with the name of the sample, for
    attention that is not finite.
    """
    point = collection.point_index(step)
    arrays = collection.arrays
    attention = arrays["attention"][samples, point]
    finite = np.isfinite(attention).all(axis=(1, 2, 3, 4))
    if not finite.all():
        name = collection.sample_name(int(np.arange(len(arrays["quality"]))[samples][~finite][0]))
        raise ValueError(f"{name} holds attention that is not finite at step {step}: delete its shard and collect it again")
    inputs = {
        "attention": attention,
        "token_mask": arrays["token_mask"][samples],
        "timestep": np.full(len(attention), collection.description.points[point].timestep, np.float32),
    }
    if "token_ids" in arrays:
        inputs["token_ids"] = arrays["token_ids"][samples]
    if "guidance_difference" in arrays:
        inputs["guidance_difference"] = arrays["guidance_difference"][samples, point]
    if "preview" in arrays:
        inputs["preview"] = (arrays["preview"][samples, point].astype(np.float32) / 127.5 - 1).astype(np.float16)
    return inputs


def score_body(collection: Collection, step: int, samples: np.ndarray, names: Sequence[str], model: str) -> bytes:
    """The body of `POST /score` for some samples at one step, in safetensors layout, with the inputs `names`."""
    description = collection.description
    inputs = probe_inputs(collection, step, samples)
    tensors = {name: np.ascontiguousarray(inputs[name]) for name in names}
    metadata = {
        "model": model,
        "step": str(step),
        "total_steps": str(description.total_steps),
        "capture_id": description.capture.capture_id,
        "conditions_id": fingerprint(description.conditions),
    }
    return save(tensors, metadata)
