"""Collected samples on disk: a folder of safetensors shards beside its `dataset.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .dataset import Collection, Description
from .source import Samples
from .stored import StoredField, StoredPart

FIELDS = tuple(field.name for field in dataclass_fields(Samples))
TOKEN_AXIS = {"attention": 3, "token_mask": 1, "token_ids": 1, "subject_mask": 1}
STORED = ("attention", "preview", "image")  # too large to be held: they stay on disk, and are read batch by batch


def shard_path(folder: Path, split: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{split}-{index:05d}.safetensors"


def write_shard(path: Path, samples: Samples, prompts: Sequence[str]) -> None:
    """Write a shard so that a kill leaves none or a whole one. `prompts`: one per group of seeds."""
    partial = path.with_suffix(".partial")
    known = {name: getattr(samples, name) for name in FIELDS}
    arrays = {name: np.ascontiguousarray(array) for name, array in known.items() if array is not None}
    save_file(arrays, partial, metadata={"prompts": json.dumps(list(prompts))})
    os.replace(partial, path)


def shard_prompts(path: Path) -> list[str]:
    """The prompts of a shard, one per group of seeds."""
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["prompts"])


def read_split(folder: Path, split: str, fields: Sequence[str] = FIELDS, prompts: int | None = None) -> Collection:
    """The shards of a split, or the first of them until `prompts` are there; of `fields` those that the shards hold.

    Small fields are read, those in `STORED` are left where they are. Raises FileNotFoundError if there are none,
    and ValueError for a damaged one.
    """
    description = Description.read(folder)
    names: list[str] = []
    parts: list[dict[str, np.ndarray | StoredPart]] = []
    for path in sorted(folder.glob(f"{split}-*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                names.extend(json.loads(file.metadata()["prompts"]))
                held = set(file.keys())
                parts.append({name: _part(path, file, name) for name in fields if name in held})
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged, delete it and collect it again: {error}") from error
        if prompts is not None and len(names) >= prompts:
            break
    if not parts:
        raise FileNotFoundError(f"no shards of split '{split}' in {folder}: run 'diffusion-probe collect' first")
    arrays = {name: _whole(name, [part[name] for part in parts]) for name in parts[0]}
    collection = Collection(description, split, names, arrays)
    return collection if prompts is None else collection.take(range(min(prompts, len(names))))


def _part(path: Path, file: Any, name: str) -> np.ndarray | StoredPart:
    return StoredPart.find(path, name) if name in STORED else file.get_tensor(name)


def _whole(name: str, parts: list[Any]) -> np.ndarray | StoredField:
    return StoredField(parts, TOKEN_AXIS.get(name)) if name in STORED else join(name, parts)


def join(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate a field along samples without ever holding everything twice; fewer tokens are padded with zeros.

    `parts` is empty afterwards.
    """
    shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
    axis = TOKEN_AXIS.get(name, 0)
    if axis:
        shape[axis] = max(part.shape[axis] for part in parts)
    joined = np.zeros(shape, parts[0].dtype)
    start = 0
    while parts:
        part = parts.pop(0)
        rows = joined[start : start + len(part)]
        rows[tuple(slice(0, side) for side in part.shape)] = part
        start += len(part)
    return joined
