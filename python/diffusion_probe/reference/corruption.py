"""Scenes with deliberate mistakes, and labels that say what they show: the reward's training data.

A thing is drawn well or corrupted, to a known severity, in one of the ways in which a denoiser fails: blurred, cut, faded, bent,
mixed with another pictogram, wrongly coloured or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .scenes import SIZE, Thing, lay_out, paste, sprite
from .splits import sample_caption
from .vocabulary import BACKGROUNDS, PICTOGRAMS

CELL = 4  # pixels per side of a cell of the label maps
CELLS = SIZE // CELL
SPREAD_CELLS = 0.8  # standard deviation, in cells, of a thing's density around its centre
CLEAN_SCENE_CHANCE = 0.4
CORRUPTION_CHANCE = 0.5
REMOVED_CHANCE = 0.2
STRAY_CHANCE = 0.25
STRAY_SIZES = (12, 24)  # pixels
# A thing whose drawing quality is below the first number counts as absent; from the second on it counts in full.
RECOGNISABLE = (0.25, 0.55)


@dataclass(frozen=True)
class LabelledImage:
    """An image and what it shows."""

    image: np.ndarray  # uint8 [64, 64, 3]
    density: np.ndarray  # float32 [pictograms, 16, 16]; sums to the count of each pictogram
    fidelity: np.ndarray  # float32 [16, 16] in [0, 1]: how well the thing at this cell is drawn
    fidelity_weight: np.ndarray  # float32 [16, 16]: the density of all things
    background: int  # index into BACKGROUNDS


def sample_labelled_image(rng: np.random.Generator) -> LabelledImage:
    """A random scene, clean with probability CLEAN_SCENE_CHANCE, otherwise with corrupted, missing or stray things."""
    scene = lay_out(sample_caption(rng), rng)
    things = list(scene.things)
    corrupt = rng.random() >= CLEAN_SCENE_CHANCE
    if corrupt and rng.random() < REMOVED_CHANCE:
        things.pop(int(rng.integers(len(things))))
    while corrupt and rng.random() < STRAY_CHANCE:
        things.append(_stray(rng))
    marked = [(thing, corrupt and rng.random() < CORRUPTION_CHANCE) for thing in things]
    return paint_labelled(marked, scene.caption.background, rng, rough=corrupt or rng.random() < 0.5)


def paint_labelled(
    things: Sequence[tuple[Thing, bool]], background: str, rng: np.random.Generator, rough: bool = False
) -> LabelledImage:
    """Paint things, each with whether to corrupt it. `rough` adds noise and a blotchy background."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    canvas[:] = BACKGROUNDS[background]
    if rough:
        canvas += _blotches(rng)
    density = np.zeros((len(PICTOGRAMS), CELLS, CELLS), np.float32)
    fidelity = np.zeros((CELLS, CELLS), np.float32)
    weight = np.zeros((CELLS, CELLS), np.float32)
    for thing, corrupted in things:
        patch = sprite(thing.pictogram, thing.size)
        quality = 1.0
        if corrupted:
            severity = float(rng.uniform(0.05, 1.0))
            patch = CORRUPTIONS[rng.integers(len(CORRUPTIONS))](patch, severity, rng)
            quality = 1 - severity
        paste(canvas, patch, thing.x, thing.y)
        spot = _density(thing)
        low, high = RECOGNISABLE
        density[PICTOGRAMS.index(thing.pictogram)] += spot * np.float32(np.clip((quality - low) / (high - low), 0, 1))
        fidelity += spot * np.float32(quality)
        weight += spot
    if rough:
        canvas += rng.normal(0, rng.uniform(0, 6), canvas.shape).astype(np.float32)
    image = canvas.round().clip(0, 255).astype(np.uint8)
    fidelity = np.divide(fidelity, weight, out=np.zeros_like(fidelity), where=weight > 1e-6)
    return LabelledImage(image, density, fidelity, weight, list(BACKGROUNDS).index(background))


def smear(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blur, by scaling down and up again."""
    size = patch.shape[0]
    small = max(2, round(size * (1 - severity) ** 1.5 * 0.55))
    return _resize(_resize(patch, small), size)


def cut(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Remove one side."""
    gone = round(patch.shape[0] * severity * 0.9)
    turns = int(rng.integers(4))
    result = np.rot90(patch, turns).copy()
    result[:gone] = 0
    return np.rot90(result, -turns)


def fade(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Make transparent."""
    return patch * np.float32(1 - 0.9 * severity)


def bend(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Shift rows and columns along sine waves."""
    size = patch.shape[0]
    reach = severity * size * 0.45
    waves = reach * np.sin(np.arange(size) / size * 2 * np.pi * rng.uniform(0.7, 2.2) + rng.uniform(0, 2 * np.pi))
    result = np.stack([np.roll(row, int(shift), axis=0) for row, shift in zip(patch, waves, strict=True)])
    columns = np.stack([np.roll(c, int(s), axis=0) for c, s in zip(result.swapaxes(0, 1), waves[::-1], strict=True)])
    return columns.swapaxes(0, 1)


def mix(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blend with another pictogram."""
    other = sprite(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], patch.shape[0])
    share = np.float32(0.75 * severity)
    return (1 - share) * patch + share * other


def patchwork(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Replace the lower part by that of another pictogram."""
    size = patch.shape[0]
    other = sprite(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], size)
    edge = round(size * severity * 0.9)
    result = patch.copy()
    result[size - edge :] = other[size - edge :]
    return result


def scramble(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Take each pixel from a random place nearby."""
    size = patch.shape[0]
    reach = max(1, round(severity * size * 0.35))
    rows, columns = np.indices((size, size))
    rows = (rows + rng.integers(-reach, reach + 1, (size, size))).clip(0, size - 1)
    columns = (columns + rng.integers(-reach, reach + 1, (size, size))).clip(0, size - 1)
    return patch[rows, columns]


def melt(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Take clumps of pixels from random places nearby."""
    size = patch.shape[0]
    reach = severity * size * 0.35
    coarse = max(3, size // 4)
    shifts = _resize(rng.uniform(-reach, reach, (coarse, coarse, 2)).astype(np.float32), size).round().astype(int)
    rows, columns = np.indices((size, size))
    return patch[(rows + shifts[..., 0]).clip(0, size - 1), (columns + shifts[..., 1]).clip(0, size - 1)]


def recolour(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Permute the colour channels."""
    order = [[1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2]][rng.integers(4)]
    result = patch.copy()
    result[..., :3] = (1 - severity) * patch[..., :3] + severity * patch[..., order]
    return result


def double(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a shifted, half transparent copy on top."""
    size = patch.shape[0]
    shift = max(1, round(size * 0.5 * severity))
    again = np.roll(patch, shift if rng.random() < 0.5 else -shift, axis=int(rng.integers(2)))
    return patch * (1 - again[..., 3:] * np.float32(0.6)) + again * np.float32(0.6)


# A function named twice is drawn twice as often.
CORRUPTIONS: tuple[Callable[[np.ndarray, float, np.random.Generator], np.ndarray], ...] = (
    *(smear, smear, cut, fade, bend, mix, mix),
    *(patchwork, scramble, scramble, melt, melt, recolour, double),
)


def _stray(rng: np.random.Generator) -> Thing:
    x, y = rng.integers(8, SIZE - 8, size=2)
    return Thing(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], int(x), int(y), int(rng.integers(*STRAY_SIZES)))


def _density(thing: Thing) -> np.ndarray:
    """A Gaussian around the thing's centre that sums to 1: float32 [16, 16]."""
    centres = (np.arange(CELLS) + 0.5) * CELL
    across, along = (np.exp(-0.5 * ((centres - centre) / (SPREAD_CELLS * CELL)) ** 2) for centre in (thing.x, thing.y))
    density = along[:, None] * across[None, :]
    return (density / density.sum()).astype(np.float32)


def _blotches(rng: np.random.Generator) -> np.ndarray:
    return _resize(rng.normal(0, rng.uniform(0, 10), (4, 4, 3)).astype(np.float32), SIZE)


def _resize(patch: np.ndarray, size: int) -> np.ndarray:
    channels = (Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(patch, 2, 0))
    return np.stack([np.asarray(one.resize((size, size), Image.Resampling.BILINEAR)) for one in channels], axis=2)
