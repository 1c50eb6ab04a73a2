"""Scenes: what captions ask for, drawn. Samples requests, lays their things out, and paints 64x64 RGB images.

Sprites are Noto emoji (Apache-2.0), from the npm package emoji-datasource-google; see NOTICE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image

from .language import BACKGROUNDS, MAX_THINGS, PICTOGRAMS, Group, Request

SIZE = 64  # pixels
SPRITE_SIZE = 64
SPRITES_PER_ROW = 8
# Sizes, in pixels, that a thing may have when so many things share the picture.
SIZE_RANGES = {1: (22, 36), 2: (20, 30), 3: (18, 25), 4: (16, 22)}
SMALLEST, LARGEST = 12, 40
# Share of two things' mean size that their centres keep between them along one axis at least.
CLEARANCE = 0.9
# A relation holds when centres differ this much, in pixels, along its axis.
RELATION_MARGIN = 6
# How often a caption has so many things; frozen, since the probe's figures depend on it.
THINGS_WEIGHTS = {1: 0.15, 2: 0.30, 3: 0.30, 4: 0.25}
RELATION_CHANCE = 0.6
LAYOUT_CANDIDATES = 24
LAYOUT_ATTEMPTS = 12


@dataclass(frozen=True)
class Thing:
    """One pictogram in a picture: `x`, `y` its centre and `size` its side, in pixels."""

    pictogram: str
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class Scene:
    """A request and one layout of it."""

    request: Request
    things: tuple[Thing, ...]

    def image(self) -> np.ndarray:
        """The picture, uint8 [64, 64, 3]."""
        return paint(self.things, self.request.background)


def sample_request(rng: np.random.Generator) -> Request:
    """A random request from the frozen mix of captions."""
    things = int(rng.choice(MAX_THINGS, p=list(THINGS_WEIGHTS.values()))) + 1
    counts = _partition(things, rng)
    pictograms = rng.choice(len(PICTOGRAMS), size=len(counts), replace=False)
    relation = None
    if len(counts) > 1 and rng.random() < RELATION_CHANCE:
        relation = "left" if rng.random() < 0.5 else "above"
    background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    groups = tuple(Group(PICTOGRAMS[p], c) for p, c in zip(pictograms, counts, strict=True))
    return Request(groups, relation, background)


def lay_out(request: Request, rng: np.random.Generator) -> Scene:
    """A random layout in which nothing hides anything and the relation holds."""
    group_of = np.repeat(np.arange(len(request.groups)), [group.count for group in request.groups])
    count = len(group_of)
    low, high = SIZE_RANGES[count]
    for attempt in range(LAYOUT_ATTEMPTS):
        top = max(low + 1, high - attempt)  # crowded scenes get smaller things after every failed attempt
        sizes = rng.integers(low, top, size=(LAYOUT_CANDIDATES, count))
        reach = sizes / 2
        x = rng.uniform(reach, SIZE - reach)
        y = rng.uniform(reach, SIZE - reach)
        good = _clear(x, y, sizes) & _related(request.relation, group_of, x, y)
        if good.any():
            best = int(good.argmax())
            return Scene(
                request,
                tuple(
                    Thing(request.groups[g].pictogram, int(x[best, i]), int(y[best, i]), int(sizes[best, i]))
                    for i, g in enumerate(group_of)
                ),
            )
    return lay_out(request, rng)


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random request with a random layout."""
    return lay_out(sample_request(rng), rng)


def paint(things: tuple[Thing, ...], background: str) -> np.ndarray:
    """Things over a background, later ones on top: uint8 [64, 64, 3]."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    canvas[:] = BACKGROUNDS[background]
    for thing in things:
        paste(canvas, sprite(thing.pictogram, thing.size), thing.x, thing.y)
    return canvas.round().clip(0, 255).astype(np.uint8)


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


def _partition(things: int, rng: np.random.Generator) -> list[int]:
    """Split so many things into at most three groups of at most three."""
    options = {
        1: [[1]],
        2: [[1, 1], [1, 1], [2]],
        3: [[1, 1, 1], [1, 2], [2, 1], [3]],
        4: [[1, 1, 2], [1, 2, 1], [2, 1, 1], [2, 2], [1, 3], [3, 1]],
    }[things]
    return options[rng.integers(len(options))]


def _clear(x: np.ndarray, y: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    apart = CLEARANCE * (sizes[:, :, None] + sizes[:, None, :]) / 2
    far = (np.abs(x[:, :, None] - x[:, None, :]) >= apart) | (np.abs(y[:, :, None] - y[:, None, :]) >= apart)
    count = sizes.shape[1]
    return (far | np.eye(count, dtype=bool)).all(axis=(1, 2))


def _related(relation: str | None, group_of: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if relation is None:
        return np.ones(len(x), bool)
    axis = x if relation == "left" else y
    return axis[:, group_of == 0].max(axis=1) + RELATION_MARGIN <= axis[:, group_of == 1].min(axis=1)
