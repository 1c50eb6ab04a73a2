"""Scenes of the reference world: lays out the things of a caption and paints them as 64x64 RGB images.

Sprites are Noto emoji (Apache-2.0), from the npm package emoji-datasource-google; see NOTICE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image

from .captions import Caption
from .vocabulary import BACKGROUNDS, PICTOGRAMS

SIZE = 64  # pixels
SPRITE_SIZE = 64
SPRITES_PER_ROW = 8
# The range of a thing's size in pixels, by the number of things in the scene.
SIZE_RANGES = {1: (22, 36), 2: (20, 30), 3: (18, 25), 4: (16, 22)}
# Along x or y, or both, two centres are at least this share of their mean size apart.
CLEARANCE = 0.9
RELATION_MARGIN = 6  # pixels between the centres of related things along the relation's axis, at least
LAYOUT_CANDIDATES = 24
LAYOUT_ATTEMPTS = 12


@dataclass(frozen=True)
class Thing:
    """One pictogram in a scene: `x`, `y` its centre and `size` its side, in pixels."""

    pictogram: str
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class Scene:
    """A caption and one layout of its things."""

    caption: Caption
    things: tuple[Thing, ...]

    def image(self) -> np.ndarray:
        """The painted scene, uint8 [64, 64, 3]."""
        canvas = np.empty((SIZE, SIZE, 3), np.float32)
        canvas[:] = BACKGROUNDS[self.caption.background]
        for thing in self.things:
            paste(canvas, sprite(thing.pictogram, thing.size), thing.x, thing.y)
        return canvas.round().clip(0, 255).astype(np.uint8)


def lay_out(caption: Caption, rng: np.random.Generator) -> Scene:
    """A random layout in which no thing covers another and the relation holds."""
    phrase_of = np.repeat(np.arange(len(caption.phrases)), [phrase.count for phrase in caption.phrases])
    count = len(phrase_of)
    low, high = SIZE_RANGES[count]
    for attempt in range(LAYOUT_ATTEMPTS):
        top = max(low + 1, high - attempt)  # the largest size shrinks with every failed attempt
        sizes = rng.integers(low, top, size=(LAYOUT_CANDIDATES, count))
        reach = sizes / 2
        x = rng.uniform(reach, SIZE - reach)
        y = rng.uniform(reach, SIZE - reach)
        valid = _clear(x, y, sizes) & _related(caption.relation, phrase_of, x, y)
        if valid.any():
            first = int(valid.argmax())
            pictograms = [caption.phrases[index].pictogram for index in phrase_of]
            things = zip(pictograms, x[first], y[first], sizes[first], strict=True)
            return Scene(caption, tuple(Thing(name, int(across), int(down), int(size)) for name, across, down, size in things))
    return lay_out(caption, rng)


def paste(canvas: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    """Blend `patch` (float32 [s, s, 4], colour premultiplied by alpha, alpha in [0, 1]) onto `canvas` around (x, y)."""
    size = patch.shape[0]
    left, top = x - size // 2, y - size // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + size, SIZE), min(top + size, SIZE)
    if x0 >= x1 or y0 >= y1:
        return
    cut = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    region = canvas[y0:y1, x0:x1]
    region *= 1 - cut[..., 3:]
    region += cut[..., :3]


@cache
def sprite(pictogram: str, size: int) -> np.ndarray:
    """A pictogram at `size` pixels: float32 [size, size, 4], colour premultiplied by alpha, alpha in [0, 1]."""
    index = PICTOGRAMS.index(pictogram)
    column, row = index % SPRITES_PER_ROW, index // SPRITES_PER_ROW
    box = (column * SPRITE_SIZE, row * SPRITE_SIZE, (column + 1) * SPRITE_SIZE, (row + 1) * SPRITE_SIZE)
    pixels = np.asarray(_sheet().crop(box), np.float32)
    alpha = pixels[..., 3:] / 255
    layers = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2)
    channels = [Image.fromarray(layers[..., i]).resize((size, size), Image.Resampling.BOX) for i in range(4)]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


@cache
def _sheet() -> Image.Image:
    with resources.files(__package__).joinpath("sprites.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


def _clear(x: np.ndarray, y: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether no two things cover each other, per candidate; arguments are [candidates, things]."""
    apart = CLEARANCE * (sizes[:, :, None] + sizes[:, None, :]) / 2
    far = (np.abs(x[:, :, None] - x[:, None, :]) >= apart) | (np.abs(y[:, :, None] - y[:, None, :]) >= apart)
    count = sizes.shape[1]
    return (far | np.eye(count, dtype=bool)).all(axis=(1, 2))


def _related(relation: str | None, phrase_of: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the relation holds, per candidate."""
    if relation is None:
        return np.ones(len(x), bool)
    axis = x if relation == "left" else y
    return axis[:, phrase_of == 0].max(axis=1) + RELATION_MARGIN <= axis[:, phrase_of == 1].min(axis=1)
