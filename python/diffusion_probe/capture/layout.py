"""Where the image and the text are among the queries and keys of an attention call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import CaptureError

Arguments = Mapping[str, Any]
"""The arguments of one denoiser call, by name."""


@dataclass(frozen=True)
class Layout:
    """Where image and text are among the queries and keys of one attention call."""

    image: slice  # the queries that are image positions
    text: slice  # the keys that are text positions
    size: tuple[int, int]  # image positions: height and width


def image_size(arguments: Arguments, source: str, patch: int) -> tuple[int, int]:
    """Height and width in image positions, from an argument of the denoiser: latents, `img_ids` or `img_shapes`.

    Pictures to edit follow the image in the same argument.
    """
    value = arguments[source]
    if source == "img_ids":
        ids = value.reshape(-1, value.shape[-1])
        own = ids[ids[:, 0] == ids[0, 0]]
        height, width = (int(last) + 1 for last in own[:, 1:3].amax(dim=0))
        return height, width
    if source == "img_shapes":
        shape = value[0]
        _, height, width = shape[0] if isinstance(shape, list) else shape
        return height, width
    height, width = value[0].shape[-2:]
    return height // patch, width // patch


def cross_layout(size: tuple[int, int], lengths: tuple[int, int], levels: int) -> Layout:
    """All keys are text. Each level of a UNet halves the height and width of the latents, rounding up."""
    queries, keys = lengths
    for level in range(levels):
        height, width = (math.ceil(side / 2**level) for side in size)
        if height * width == queries:
            return Layout(slice(0, queries), slice(0, keys), (height, width))
    raise CaptureError(f"{queries} image positions match no level of a UNet on {size[0]}x{size[1]} latents")


def joint_layout(size: tuple[int, int], image_start: int, text: slice, lengths: tuple[int, int]) -> Layout:
    """Image and text in one sequence. `lengths`: the call's queries and keys."""
    layout = Layout(slice(image_start, image_start + size[0] * size[1]), text, size)
    if layout.image.stop > lengths[0] or not text.start < text.stop <= lengths[1]:
        raise CaptureError(f"attention over {lengths[0]} queries and {lengths[1]} keys does not fit an image of {size}")
    return layout
