"""Runs the denoiser for some images of a batch: selects their rows in its arguments, and puts its output back in their rows.

The pipeline keeps the whole batch, so random draws, the scheduler's state and the shapes that callbacks see do not change. See
docs/adr/0012-guard-narrows-denoiser-calls.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..capture import DenoiserCall
from ..client import Kept

SHARED = frozenset({"img_ids", "txt_ids"})  # positions, the same for all rows
ROW_LISTS = frozenset({"img_shapes", "txt_seq_lens", "x", "cap_feats"})  # Python lists with an entry per row
SECOND_AXIS = frozenset({"encoder_hidden_states_llama3"})  # [layers, rows, ...]


class BatchLayoutError(Exception):
    """A tensor does not have the expected number of rows per image."""


def narrowed(call: DenoiserCall, sample: str, kept: Kept) -> DenoiserCall:
    """The call for the kept images only. `sample`: the argument that holds the latents. Raises BatchLayoutError."""
    rows = len(call.arguments[sample])
    selected = rows_of(kept, rows)
    arguments = {}
    for name, value in call.arguments.items():
        if name in SECOND_AXIS:
            arguments[name] = value[:, selected]
        elif name in ROW_LISTS and isinstance(value, list) and len(value) == rows:
            arguments[name] = [value[row] for row in selected.tolist()]
        else:
            arguments[name] = value if name in SHARED else _select(value, rows, selected)
    return dataclasses.replace(call, arguments=arguments, images=tuple(kept))


def widened(output: Any, kept: Kept, rows: int) -> Any:
    """The output of a narrowed call with all `rows` again. Rows of other images get a copy of a kept one: finite, unused.

    Raises BatchLayoutError if the output does not have the rows of the kept images.
    """
    selected = rows_of(kept, rows)
    sources = torch.zeros(rows, dtype=torch.long)
    sources[selected] = torch.arange(len(selected))
    return _spread(output, len(selected), sources)


def rows_of(kept: Kept, rows: int) -> Tensor:
    """The rows of the kept images. With guidance in one call there are two per image: those of one half, then the other."""
    if rows % kept.rows:
        raise BatchLayoutError(f"{rows} rows cannot be those of {kept.rows} images")
    return torch.tensor([image + first for first in range(0, rows, kept.rows) for image in kept])


def _select(value: Any, rows: int, selected: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[selected.to(value.device)] if value.ndim and len(value) == rows else value
    if isinstance(value, Mapping):
        return {name: _select(inner, rows, selected) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_select(inner, rows, selected) for inner in value)
    return value


def _spread(output: Any, expected: int, sources: Tensor) -> Any:
    if isinstance(output, Tensor) and output.ndim and len(output) == expected:
        return output[sources.to(output.device)]
    if isinstance(output, list) and len(output) == expected:
        return [output[row] for row in sources.tolist()]
    if isinstance(output, tuple):
        return tuple(_spread(inner, expected, sources) for inner in output)
    if isinstance(output, Mapping):  # the output classes of diffusers are mappings
        return type(output)(**{name: _spread(inner, expected, sources) for name, inner in output.items()})
    shape = list(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise BatchLayoutError(f"the output is {shape}: expected {expected} rows")
