"""Running a batch for some of its images only: rows are taken out of what goes in, and laid back into what comes out.

The pipeline around keeps its whole batch. So the draws of its random generator, the state of its scheduler and the shapes that
callbacks see are those of a run without guard, whatever the scheduler, and what remains of a dropped sample is a row of latents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..capture import DenoiserCall, ImageSubset

SHARED = frozenset({"img_ids", "txt_ids"})  # places, the same for all rows
ROW_LISTS = frozenset({"img_shapes", "txt_seq_lens"})  # plain lists with an entry per row


class RowsError(Exception):
    """What came is not laid out by images."""


@dataclasses.dataclass(frozen=True)
class LivingRows:
    """The images of a run that go on."""

    images: tuple[int, ...]  # ascending, at least one
    total: int

    def reduce(self, call: DenoiserCall, sample: str) -> DenoiserCall:
        """The call for the living alone. `sample`: its argument that holds the latents. Raises RowsError."""
        rows = len(call.arguments[sample])
        chosen = self._chosen(rows)
        arguments = {
            name: value if name in SHARED else _take(value, rows, chosen, lists=name in ROW_LISTS)
            for name, value in call.arguments.items()
        }
        return dataclasses.replace(call, arguments=arguments, subset=ImageSubset(self.images, self.total))

    def spread(self, output: Any, rows: int) -> Any:
        """What the reduced call gave, for all `rows`. Those of dropped images repeat a living one: finite, and never shown.

        Raises RowsError where the output is not that of the living rows.
        """
        chosen = self._chosen(rows)
        places = torch.zeros(rows, dtype=torch.long)
        places[chosen] = torch.arange(len(chosen))
        return _spread(output, len(chosen), places)

    def of(self, tensor: Tensor) -> Tensor:
        """The rows of the living, of a tensor with a row per image."""
        return tensor[torch.tensor(self.images, device=tensor.device)]

    def _chosen(self, rows: int) -> Tensor:
        """The living rows; under guidance in one call the images come twice."""
        if rows % self.total:
            raise RowsError(f"{rows} rows are not those of {self.total} images")
        images = torch.tensor(self.images)
        return torch.cat([images + self.total * half for half in range(rows // self.total)])


def _take(value: Any, rows: int, chosen: Tensor, lists: bool = False) -> Any:
    if isinstance(value, Tensor):
        return value[chosen.to(value.device)] if value.ndim and len(value) == rows else value
    if isinstance(value, Mapping):
        return {name: _take(inner, rows, chosen) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        if lists and len(value) == rows:
            return [value[row] for row in chosen.tolist()]
        return type(value)(_take(inner, rows, chosen) for inner in value)
    return value


def _spread(output: Any, living: int, places: Tensor) -> Any:
    if isinstance(output, Tensor):
        if not output.ndim or len(output) != living:
            raise RowsError(f"the output is {list(output.shape)}: expected {living} rows")
        return output[places.to(output.device)]
    if isinstance(output, tuple):
        return tuple(_spread(inner, living, places) for inner in output)
    if isinstance(output, Mapping):  # the output classes of diffusers are
        return type(output)(**{name: _spread(inner, living, places) for name, inner in output.items()})
    raise RowsError(f"the output is a {type(output).__name__}")


def by_image(images: Any) -> Sequence[Any]:
    """The images of a pipeline's answer one by one, whatever its output type."""
    return [images[index] for index in range(len(images))]
