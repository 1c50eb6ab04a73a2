"""Fields of collected samples that stay on disk and may be larger than the memory: of a shard only what is asked for is read.

Files are opened for each read, since a data set may have more shards than a process may have open files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..probe.manifest import DTYPES

HEADER_LENGTH_BYTES = 8
LAYER_AXIS = 2


@dataclass(frozen=True)
class StoredPart:
    """Where one shard holds a field."""

    path: Path
    offset: int  # of its first byte
    dtype: np.dtype
    shape: tuple[int, ...]
    stamp: tuple[int, int]  # tells whether the file is still the same

    @classmethod
    def find(cls, path: Path, name: str) -> StoredPart:
        """Read the shard's header, which the safetensors library does not tell offsets from."""
        with path.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
            entry = json.loads(file.read(length))[name]
            start = HEADER_LENGTH_BYTES + length + entry["data_offsets"][0]
            return cls(path, start, np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), _stamp(file))


class StoredField:
    """One field of all samples of a split, over its shards; as an array of them it would be [samples, points, ...].

    `field[rows, point]` reads an array. `field[rows]` and `field[:, :, layers]` are fields again, and read nothing.
    """

    def __init__(self, parts: Sequence[StoredPart], token_axis: int | None):
        """`token_axis`: along which shards may differ; fewer tokens are padded with zeros."""
        self._parts = tuple(parts)
        self._ends = np.cumsum([part.shape[0] for part in parts])
        self._shape = list(parts[0].shape[1:])  # of a sample
        if token_axis is not None:
            self._shape[token_axis - 1] = max(part.shape[token_axis] for part in parts)
        self._rows = np.arange(self._ends[-1])
        self._layers: np.ndarray | None = None
        self.dtype = parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole field."""
        shape = [len(self._rows), *self._shape]
        if self._layers is not None:
            shape[LAYER_AXIS] = len(self._layers)
        return tuple(shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return self._changed(_rows=self._rows[key])
        if len(key) == 2:
            rows, point = key
            return self._read(self._rows[rows], slice(point, point + 1))[:, 0]
        rows, points, layers = key
        if (rows, points) != (slice(None), slice(None)):
            raise IndexError("layers are chosen of all samples and points")
        chosen = np.arange(self.shape[LAYER_AXIS])[layers]
        return self._changed(_layers=chosen if self._layers is None else self._layers[chosen])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it, in memory."""
        everything = self._read(self._rows, slice(0, self.shape[1]))
        return everything if dtype is None else everything.astype(dtype)

    def _changed(self, **attributes: Any) -> StoredField:
        other = object.__new__(StoredField)
        vars(other).update({**vars(self), **attributes})
        return other

    def _read(self, rows: np.ndarray, points: slice) -> np.ndarray:
        result = np.zeros((len(rows), points.stop - points.start, *self.shape[2:]), self.dtype)
        holders = np.searchsorted(self._ends, rows, side="right")
        for holder in np.unique(holders):
            part = self._parts[holder]
            first = self._ends[holder] - part.shape[0]
            with part.path.open("rb", buffering=0) as file:
                if _stamp(file) != part.stamp:
                    raise ValueError(f"{part.path} was changed while it was being read: begin again")
                for place in np.flatnonzero(holders == holder):
                    self._read_points(file, part, int(rows[place] - first), points, result[place])
        return result

    def _read_points(self, file: BinaryIO, part: StoredPart, row: int, points: slice, result: np.ndarray) -> None:
        """Some neighbouring points of one sample into `result`, which may have more tokens and fewer layers."""
        shape = (points.stop - points.start, *part.shape[2:])
        fits = self._layers is None and shape == result.shape
        values = result if fits else np.empty(shape, part.dtype)
        file.seek(part.offset + (row * part.shape[1] + points.start) * values[0].nbytes)
        if file.readinto(memoryview(values).cast("B")) != values.nbytes:
            raise ValueError(f"{part.path} could not be read as far as its header says")
        if not fits:
            values = values if self._layers is None else values[:, self._layers]
            result[tuple(slice(0, side) for side in values.shape)] = values


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
