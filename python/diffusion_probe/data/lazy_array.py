"""Arrays of a split that stay in its shards: indexing reads from disk only what it returns, so a data set may exceed the memory.

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
class ShardTensor:
    """Where one shard holds a tensor."""

    path: Path
    offset: int  # of its first byte in the file
    dtype: np.dtype
    shape: tuple[int, ...]
    stamp: tuple[int, int]  # size and modification time of the file, to notice that it was changed

    @classmethod
    def find(cls, path: Path, name: str) -> ShardTensor:
        """Read the shard's header: the safetensors library does not expose offsets."""
        with path.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
            entry = json.loads(file.read(length))[name]
            start = HEADER_LENGTH_BYTES + length + entry["data_offsets"][0]
            return cls(path, start, np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), _stamp(file))


class LazyArray:
    """One field of all samples of a split, over its shards: [samples, points, ...].

    `array[samples, point]` reads from disk. `array[samples]` and `array[:, :, layers]` read nothing and return lazy arrays.
    """

    def __init__(self, tensors: Sequence[ShardTensor], token_axis: int | None):
        """`token_axis`: the axis along which shards may differ; those with fewer tokens are padded with zeros."""
        self._tensors = tuple(tensors)
        self._ends = np.cumsum([tensor.shape[0] for tensor in tensors])
        self._sample_shape = list(tensors[0].shape[1:])
        if token_axis is not None:
            self._sample_shape[token_axis - 1] = max(tensor.shape[token_axis] for tensor in tensors)
        self._samples = np.arange(self._ends[-1])
        self._layers: np.ndarray | None = None
        self.dtype = tensors[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        shape = [len(self._samples), *self._sample_shape]
        if self._layers is not None:
            shape[LAYER_AXIS] = len(self._layers)
        return tuple(shape)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return self._replace(_samples=self._samples[key])
        if len(key) == 2:
            samples, point = key
            return self._read(self._samples[samples], slice(point, point + 1))[:, 0]
        samples, points, layers = key
        if (samples, points) != (slice(None), slice(None)):
            raise IndexError("layers are chosen of all samples and points")
        chosen = np.arange(self.shape[LAYER_AXIS])[layers]
        return self._replace(_layers=chosen if self._layers is None else self._layers[chosen])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole array in memory."""
        everything = self._read(self._samples, slice(0, self.shape[1]))
        return everything if dtype is None else everything.astype(dtype)

    def _replace(self, **attributes: Any) -> LazyArray:
        other = object.__new__(LazyArray)
        vars(other).update({**vars(self), **attributes})
        return other

    def _read(self, samples: np.ndarray, points: slice) -> np.ndarray:
        result = np.zeros((len(samples), points.stop - points.start, *self.shape[2:]), self.dtype)
        shards = np.searchsorted(self._ends, samples, side="right")
        for shard in np.unique(shards):
            tensor = self._tensors[shard]
            first = self._ends[shard] - tensor.shape[0]
            with tensor.path.open("rb", buffering=0) as file:
                if _stamp(file) != tensor.stamp:
                    raise ValueError(f"{tensor.path} was changed while it was being read: begin again")
                for place in np.flatnonzero(shards == shard):
                    self._read_sample(file, tensor, int(samples[place] - first), points, result[place])
        return result

    def _read_sample(self, file: BinaryIO, tensor: ShardTensor, index: int, points: slice, result: np.ndarray) -> None:
        """Read consecutive points of a shard's sample into `result`, which may have more tokens and fewer layers."""
        shape = (points.stop - points.start, *tensor.shape[2:])
        fits = self._layers is None and shape == result.shape
        values = result if fits else np.empty(shape, tensor.dtype)
        file.seek(tensor.offset + (index * tensor.shape[1] + points.start) * values[0].nbytes)
        if file.readinto(memoryview(values).cast("B")) != values.nbytes:
            raise ValueError(f"{tensor.path} is shorter than its header says")
        if not fits:
            values = values if self._layers is None else values[:, self._layers]
            result[tuple(slice(0, side) for side in values.shape)] = values


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
