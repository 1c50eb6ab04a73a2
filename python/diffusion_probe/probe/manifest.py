"""The manifest of a probe, `probe.json`: its types, its hashes, and how it is read and written."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..fingerprint import fingerprint

SCHEMA_VERSION = 2
DTYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8, "I64": np.int64}  # by their names in safetensors


@dataclass(frozen=True)
class Capture:
    """What was read of the denoiser. A probe scores only maps of its own capture: equal shapes are not enough."""

    family: str  # of the denoiser, such as `sdxl`
    layers: tuple[str, ...]
    height: int
    width: int
    heads: str  # how heads are reduced to one map
    tokens: str  # which tokens are kept
    pooling: str  # how maps are resized to height x width
    forward: str = "conditional"  # which forward of a guided step
    precision: str = "float16"  # the dtype of the maps

    @property
    def capture_id(self) -> str:
        """The fingerprint of all fields."""
        return fingerprint(asdict(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Capture:
        """Read the `capture` object of a manifest or a data set. Raises TypeError for other members than the fields."""
        return cls(**{**fields, "layers": tuple(fields["layers"])})


@dataclass(frozen=True)
class Metric:
    """The quality a probe predicts: its name, its range, and the value from which an image counts as good.

    In a data set, range and `good_at` may be None: training and export then take them from its training split.
    """

    name: str
    range: tuple[float, float] | None
    good_at: float | None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Metric:
        """Read the `metric` object of a manifest or a data set."""
        return cls(fields["name"], fields["range"] and tuple(fields["range"]), fields["good_at"])


@dataclass(frozen=True)
class DecisionPoint:
    """`step` counts denoiser calls from 1, `timestep` is the backbone's own number at that call."""

    step: int
    timestep: float


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a probe's folder. Raises FileNotFoundError without a probe.json."""
    path = folder / "probe.json"
    if not path.exists():
        raise FileNotFoundError(f"no probe.json in {folder}: run 'diffusion-probe export' first")
    return json.loads(path.read_text())


def total_steps_of(manifest: Mapping[str, Any]) -> int:
    """The denoising steps of a run. In schema_version 1 they were a member of the capture. Raises ValueError without them."""
    steps = manifest.get("total_steps", manifest["capture"].get("total_steps"))
    if steps is None:
        raise ValueError("the manifest does not state total_steps")
    return steps


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `probe.json`, with the hashes of the files that it lists."""
    manifest["files"] = {name: sha256_of(folder / name) for name in sorted(manifest["files"])}
    (folder / "probe.json").write_text(to_json(manifest))


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON; a number that is not finite is null."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write `to_json` whole or not at all. The folder is made if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(to_json(value, indent), encoding="utf-8")
    os.replace(partial, path)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
