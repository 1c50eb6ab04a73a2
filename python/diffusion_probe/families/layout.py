"""Where the image and the text are among the queries and keys of an attention call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CaptureError

Arguments = Mapping[str, Any]
"""The arguments of one denoiser call, by name."""
Lengths = tuple[int, int]
"""How many queries and keys an attention call has."""


@dataclass(frozen=True)
class Layout:
    """Where image and text are among the queries and keys of one attention call."""

    image: slice  # the queries that are image positions
    text: slice  # the keys that are text positions
    size: tuple[int, int]  # image positions: height and width

    def keys(self, positions: np.ndarray) -> np.ndarray:
        """The keys at text positions, int64 [tokens]. Raises CaptureError for a position behind the text."""
        last = self.text.stop - self.text.start - 1
        if len(positions) and positions.max() > last:
            raise CaptureError(f"a token is at text position {positions.max()}: expected {last} at most")
        return positions + self.text.start


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


def cross_layout(size: tuple[int, int], lengths: Lengths, levels: int) -> Layout:
    """All keys are text. Each level of a UNet halves the height and width of the latents, rounding up."""
    queries, keys = lengths
    for level in range(levels):
        height, width = (math.ceil(side / 2**level) for side in size)
        if height * width == queries:
            return Layout(slice(0, queries), slice(0, keys), (height, width))
    raise CaptureError(f"{queries} image positions match no level of a UNet on {size[0]}x{size[1]} latents")


def joint_layout(size: tuple[int, int], image_start: int, text: slice, lengths: Lengths) -> Layout:
    """Image and text in one sequence."""
    layout = Layout(slice(image_start, image_start + size[0] * size[1]), text, size)
    if layout.image.stop > lengths[0] or not text.start < text.stop <= lengths[1]:
        raise CaptureError(f"attention over {lengths[0]} queries and {lengths[1]} keys does not fit an image of {size}")
    return layout


def layout_by_ratio(ratio: tuple[int, int], text_block: tuple[int, int] | None, lengths: Lengths, parts: int = 1) -> Layout:
    """The image has the given ratio of height and width, and is all that is not text; None: all keys are text, all queries image.

    `parts`: how many times the image positions of this call make the image.
    """
    queries, keys = lengths
    start, stop = text_block or (0, keys)
    image = slice(0, queries) if text_block is None else slice(stop, queries) if start == 0 else slice(0, start)
    count = (image.stop - image.start) * parts
    height = max(1, round((count * ratio[0] / ratio[1]) ** 0.5))
    if height * (count // height) != count or count < 1:
        raise CaptureError(f"{count} image positions fit no image of the ratio {ratio[0]} to {ratio[1]}")
    return Layout(image, slice(start, stop), (height, count // height))
