"""Takes the rows of kept samples from everything that goes along in a sampling loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

# Attributes of a scheduler in which it keeps what it has predicted before, one row per sample.
HISTORY = ("model_outputs", "ets", "cur_sample", "last_sample", "sample", "prev_derivative", "derivatives", "prev_sample")


def select(kept: Any, *values: Any) -> Any:
    """The rows of the kept samples, from each value in its own form; one value for one, else a tuple.

    `kept`: what `SampleGroup.decide` returns: indices, and in `rows` how many samples there were. A tensor, array or list has a
    row per sample, or twice as many where guidance is one batch of two halves. Tuples, dicts and dataclasses are searched
    for these, and so is a list of them. A scheduler of diffusers is changed in place: the history that it keeps. None,
    numbers and texts stay as they are. Raises ValueError for a tensor with another number of rows.
    """
    chosen = tuple(_select(value, list(kept), kept.rows) for value in values)
    return chosen[0] if len(values) == 1 else chosen


def _select(value: Any, kept: list[int], rows: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor | np.ndarray):
        return _rows_of(value, kept, rows)
    if isinstance(value, list):
        has_rows = len(value) == rows and not any(map(_is_container, value))
        return [value[index] for index in kept] if has_rows else [_select(item, kept, rows) for item in value]
    if isinstance(value, tuple):
        items = (_select(item, kept, rows) for item in value)
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, Mapping):
        return {name: _select(item, kept, rows) for name, item in value.items()}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: _select(getattr(value, name), kept, rows) for name in names})
    if hasattr(value, "set_timesteps"):
        for name in HISTORY:
            if getattr(value, name, None) is not None:
                setattr(value, name, _select(getattr(value, name), kept, rows))
        return value
    raise ValueError(f"a {type(value).__name__} has no rows to select: expected tensors, lists, tuples, dicts or dataclasses")


def _is_container(item: Any) -> bool:
    """Whether a list holds such items for what they contain, not one of them per sample."""
    kinds = torch.Tensor | np.ndarray | list | tuple | Mapping
    return item is None or isinstance(item, kinds) or dataclasses.is_dataclass(item)


def _rows_of(value: Any, kept: list[int], rows: int) -> Any:
    if value.ndim == 0:
        return value
    if len(value) not in (rows, 2 * rows):
        expected = f"expected {rows}, or {2 * rows} with guidance"
        raise ValueError(f"a tensor of {len(value)} rows cannot be that of {rows} samples: {expected}")
    return value[[index + half * rows for half in range(len(value) // rows) for index in kept]]
