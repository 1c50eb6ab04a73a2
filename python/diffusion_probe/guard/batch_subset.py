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

from ..capture import DenoiserCall, ImageSubset

SHARED = frozenset({"img_ids", "txt_ids"})  # positions, the same for all rows
ROW_LISTS = frozenset({"img_shapes", "txt_seq_lens", "x", "cap_feats"})  # Python lists with an entry per row
SECOND_AXIS = frozenset({"encoder_hidden_states_llama3"})  # [layers, rows, ...]


class BatchLayoutError(Exception):
    """A tensor does not have the expected number of rows per image."""


class BatchSubset(ImageSubset):
    """The remaining images of a batch; at least one."""

    def select(self, call: DenoiserCall, sample: str) -> DenoiserCall:
        """The call for these images only. `sample`: the argument that holds the latents. Raises BatchLayoutError."""
        rows = len(call.arguments[sample])
        selected = self._selected_rows(rows)
        arguments = {
            name: value if name in SHARED else _select(value, rows, selected, lists=name in ROW_LISTS)
            for name, value in call.arguments.items()
        }
        for name in SECOND_AXIS & arguments.keys():
            arguments[name] = call.arguments[name][:, selected]
        return dataclasses.replace(call, arguments=arguments, subset=self)

    def scatter(self, output: Any, rows: int) -> Any:
        """The output of a selected call with all `rows` again. Rows of other images get a copy of a selected one: finite, unused.

        Raises BatchLayoutError if the output does not have the selected rows.
        """
        selected = self._selected_rows(rows)
        sources = torch.zeros(rows, dtype=torch.long)
        sources[selected] = torch.arange(len(selected))
        return _scatter(output, len(selected), sources)

    def select_images(self, tensor: Tensor) -> Tensor:
        """The rows of these images, from a tensor with one row per image."""
        return tensor[torch.tensor(self.images, device=tensor.device)]

    def _selected_rows(self, rows: int) -> Tensor:
        """With guidance in one call there are two rows per image: first those of one half for all images, then the other."""
        if rows % self.total:
            raise BatchLayoutError(f"{rows} rows cannot be those of {self.total} images")
        images = torch.tensor(self.images)
        return torch.cat([images + self.total * half for half in range(rows // self.total)])


def _select(value: Any, rows: int, selected: Tensor, lists: bool = False) -> Any:
    if isinstance(value, Tensor):
        return value[selected.to(value.device)] if value.ndim and len(value) == rows else value
    if isinstance(value, Mapping):
        return {name: _select(inner, rows, selected) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        if lists and len(value) == rows:
            return [value[row] for row in selected.tolist()]
        return type(value)(_select(inner, rows, selected) for inner in value)
    return value


def _scatter(output: Any, expected: int, sources: Tensor) -> Any:
    if isinstance(output, Tensor):
        if not output.ndim or len(output) != expected:
            raise BatchLayoutError(f"the output is {list(output.shape)}: expected {expected} rows")
        return output[sources.to(output.device)]
    if isinstance(output, list) and len(output) == expected:
        return [output[row] for row in sources.tolist()]
    if isinstance(output, tuple):
        return tuple(_scatter(inner, expected, sources) for inner in output)
    if isinstance(output, Mapping):  # the output classes of diffusers are mappings
        return type(output)(**{name: _scatter(inner, expected, sources) for name, inner in output.items()})
    raise BatchLayoutError(f"the output is a {type(output).__name__}")
