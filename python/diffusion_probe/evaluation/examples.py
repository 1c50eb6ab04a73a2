"""The command `examples`: requests of captured samples, for the folder examples/ and the OpenAPI document."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Collection, with_layers
from ..data.inputs import probe_inputs, score_body
from ..data.shards import read_split
from ..probe.onnx_probe import OnnxProbe
from .conformal import entry_at, threshold_of
from .scores import score_collection

ALPHA = 0.05  # of the service's default policy
GROUP = 8
PROMPTS = 64


def write_examples(data: Path, folder: Path, out: Path, document: Path, step: int, split: str = "test") -> None:
    """Write kept.safetensors, dropped.safetensors and group.safetensors to `out`, and the OpenAPI examples to `document`.

    The binary examples take the prompt of which the default policy drops closest to half of the group, and of those the one with
    the widest range of scores; the JSON examples take the first of the prompts with the fewest tokens.
    Raises ValueError where there is none.
    """
    probe = OnnxProbe(folder)
    manifest = probe.manifest
    collection = with_layers(read_split(data, split, prompts=PROMPTS), manifest["capture"]["layers"])
    entry = entry_at(manifest, step)
    threshold = None if entry is None else threshold_of(entry, ALPHA)
    if threshold is None:
        raise ValueError(f"too few good calibration samples at step {step} for alpha {ALPHA}: nothing would be dropped")
    scores = score_collection(probe, collection, step)[:, :GROUP]
    imbalance = np.abs((scores < threshold).mean(axis=1) - 0.5)
    if imbalance.min() == 0.5:
        raise ValueError(f"no prompt has both kept and dropped samples at step {step}")
    prompt = int(np.lexsort((-np.ptp(scores, axis=1), imbalance))[0])
    group = prompt * collection.seeds + np.arange(GROUP)
    best, worst = scores[prompt].argmax(), scores[prompt].argmin()
    names = [entry["name"] for entry in manifest["inputs"]]
    out.mkdir(parents=True, exist_ok=True)
    for name, samples in {"kept": group[[best]], "dropped": group[[worst]], "group": group}.items():
        body = score_body(collection, step, samples, names, manifest["name"])
        (out / f"{name}.safetensors").write_bytes(body)
    document.write_text(json.dumps({"requests": json_requests(collection, manifest, step)}, indent=2) + "\n")


def json_requests(collection: Collection, manifest: dict[str, Any], step: int) -> dict[str, Any]:
    """The JSON examples of the OpenAPI document: one sample under the default policy, and the better of two."""
    tokens = collection.arrays["token_mask"].sum(axis=1)
    samples = np.flatnonzero(tokens == tokens.min())[:2]
    caption = collection.prompts[samples[0] // collection.seeds]
    common = {
        "model": manifest["name"],
        "step": step,
        "total_steps": manifest["total_steps"],
        "capture_id": manifest["capture_id"],
        "conditions_id": manifest["conditions_id"],
    }
    one = {"tensors": json_tensors(collection, manifest, step, samples[:1]), **common}
    two = {
        "tensors": json_tensors(collection, manifest, step, samples),
        "policy": {"name": "top_k", "k": 1},
        "group": caption,
        "sample_ids": [f"seed-{sample % collection.seeds}" for sample in samples],
        **common,
    }
    return {
        "one_sample": {"summary": f'One sample of "{caption}", under the default policy', "value": one},
        "top_one_of_two": {"summary": f'Two samples of "{caption}": keep the better one', "value": two},
    }


def json_tensors(collection: Collection, manifest: dict[str, Any], step: int, samples: np.ndarray) -> dict[str, Any]:
    """The tensors of a JSON request: float16 as base64, the others as nested lists, without padding tokens."""
    inputs = probe_inputs(collection, step, samples)
    tokens = int(inputs["token_mask"].sum(axis=1).max())
    tensors: dict[str, Any] = {}
    for entry in manifest["inputs"]:
        values = inputs[entry["name"]]
        if "tokens" in entry["shape"]:
            values = values.take(range(tokens), axis=entry["shape"].index("tokens"))
        if entry["dtype"] == "F16":
            data = base64.b64encode(np.ascontiguousarray(values, np.float16).tobytes()).decode()
            tensors[entry["name"]] = {"dtype": "F16", "shape": list(values.shape), "data": data}
        else:
            tensors[entry["name"]] = values.tolist()
    return tensors
