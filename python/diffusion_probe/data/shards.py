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
from .lazy_array import LazyArray, ShardTensor
from .source import Samples

FIELDS = tuple(field.name for field in dataclass_fields(Samples))
TOKEN_AXIS = {"attention": 3, "token_mask": 1, "token_ids": 1, "subject_mask": 1}
LAZY_FIELDS = ("attention", "preview", "image")  # too large for the memory: read batch by batch


def shard_path(folder: Path, split: str, index: int) -> Path:
    """Path of a shard, `{split}-{index}.safetensors`."""
    return folder / f"{split}-{index:05d}.safetensors"


def write_shard(path: Path, samples: Samples, prompts: Sequence[str]) -> None:
    """Write a shard under another name, then rename it: a kill leaves no partial shard. `prompts`: one per group of seeds."""
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
    """The samples of a split, with those of `fields` that the shards hold; `prompts`: only so many of the first prompts.

    `LAZY_FIELDS` stay on disk, the others are read. Raises FileNotFoundError without shards, and ValueError for a damaged one.
    """
    description = Description.read(folder).of_split(split)
    names: list[str] = []
    parts: list[dict[str, np.ndarray | ShardTensor]] = []
    for path in sorted(folder.glob(f"{split}-*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                names.extend(json.loads(file.metadata()["prompts"]))
                part: dict[str, np.ndarray | ShardTensor] = {}
                for name in [name for name in fields if name in file.keys()]:  # noqa: SIM118 (it is no mapping)
                    part[name] = ShardTensor.find(path, name) if name in LAZY_FIELDS else file.get_tensor(name)
                if parts and part.keys() != parts[0].keys():
                    other = ", ".join(sorted(part.keys() ^ parts[0].keys()))
                    raise ValueError(f"{path} was collected with other options than those before it: one of them has no {other}")
                parts.append(part)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged, delete it and collect it again: {error}") from error
        if prompts is not None and len(names) >= prompts:
            break
    if not parts:
        raise FileNotFoundError(f"no shards of split '{split}' in {folder}: run 'diffusion-probe collect' first")
    arrays: dict[str, np.ndarray | LazyArray] = {}
    for name in parts[0]:
        own: list[Any] = [part[name] for part in parts]
        arrays[name] = LazyArray(own, TOKEN_AXIS.get(name)) if name in LAZY_FIELDS else join(name, own)
    collection = Collection(description, split, names, arrays)
    return collection if prompts is None else collection.take(range(min(prompts, len(names))))


def join(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate a field along samples; fewer tokens are padded with zeros. Empties `parts` on the way, to save memory."""
    shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
    axis = TOKEN_AXIS.get(name, 0)
    if axis:
        shape[axis] = max(part.shape[axis] for part in parts)
    joined = np.zeros(shape, parts[0].dtype)
    start = 0
    while parts:
        part = parts.pop(0)
        joined[start : start + len(part)][tuple(slice(0, side) for side in part.shape)] = part
        start += len(part)
    return joined
