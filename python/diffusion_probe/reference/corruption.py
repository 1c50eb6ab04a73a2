"""Scenes with things done wrong on purpose, and what is true of them: what the reward learns from.

Each thing is drawn well or spoilt in one of the ways in which a denoiser spoils things (smeared, cut, faded, bent, mixed with
another pictogram, wrongly coloured, doubled), to a known degree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .language import BACKGROUNDS, PICTOGRAMS
from .scenes import SIZE, SMALLEST, Thing, lay_out, paste, sample_request, sprite

CELL = 4  # pixels along one side of a cell of the maps below
CELLS = SIZE // CELL
SPREAD_CELLS = 0.8  # standard deviation of a thing's mass around its centre
CLEAN_SCENE_CHANCE = 0.4
SPOILT_CHANCE = 0.5
STRAY_CHANCE = 0.25
# A thing drawn worse than the first figure is no longer there; from the second on it counts in full.
RECOGNISABLE = (0.25, 0.55)


@dataclass(frozen=True)
class Labelled:
    """A picture and the truth about it."""

    image: np.ndarray  # uint8 [64, 64, 3]
    mass: np.ndarray  # float32 [pictograms, 16, 16]: sums, per pictogram, to how many of it are there
    drawn: np.ndarray  # float32 [16, 16]: how well the thing at this cell is drawn, in [0, 1]
    drawn_weight: np.ndarray  # float32 [16, 16]: where `drawn` means something
    background: int  # index into BACKGROUNDS


def sample_labelled(rng: np.random.Generator) -> Labelled:
    """A random picture: clean as often as CLEAN_SCENE_CHANCE says, else with spoilt, missing or stray things."""
    scene = lay_out(sample_request(rng), rng)
    things = list(scene.things)
    spoil = rng.random() >= CLEAN_SCENE_CHANCE
    if spoil and rng.random() < 0.2:
        things.pop(int(rng.integers(len(things))))
    while spoil and rng.random() < STRAY_CHANCE:
        things.append(_stray(rng))
    plan = [(thing, spoil and rng.random() < SPOILT_CHANCE) for thing in things]
    return label(plan, scene.request.background, rng, rough=spoil or rng.random() < 0.5)


def label(plan: list[tuple[Thing, bool]], background: str, rng: np.random.Generator, rough: bool = False) -> Labelled:
    """Paint things, spoiling those so marked, and say what is true of the picture. `rough` adds noise and softness."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    canvas[:] = BACKGROUNDS[background]
    if rough:
        canvas += _blotches(rng)
    mass = np.zeros((len(PICTOGRAMS), CELLS, CELLS), np.float32)
    drawn = np.zeros((CELLS, CELLS), np.float32)
    weight = np.zeros((CELLS, CELLS), np.float32)
    for thing, spoilt in plan:
        patch = sprite(thing.pictogram, thing.size)
        quality = 1.0
        if spoilt:
            severity = float(rng.uniform(0.05, 1.0))
            patch = SPOILERS[rng.integers(len(SPOILERS))](patch, severity, rng)
            quality = 1 - severity
        paste(canvas, patch, thing.x, thing.y)
        spot = _spot(thing)
        low, high = RECOGNISABLE
        mass[PICTOGRAMS.index(thing.pictogram)] += spot * np.float32(np.clip((quality - low) / (high - low), 0, 1))
        drawn += spot * np.float32(quality)
        weight += spot
    if rough:
        canvas += rng.normal(0, rng.uniform(0, 6), canvas.shape).astype(np.float32)
    image = canvas.round().clip(0, 255).astype(np.uint8)
    drawn = np.divide(drawn, weight, out=np.zeros_like(drawn), where=weight > 1e-6)
    return Labelled(image, mass, drawn, weight, list(BACKGROUNDS).index(background))


def smear(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blurred, by scaling down and up again."""
    size = patch.shape[0]
    small = max(2, round(size * (1 - severity) ** 1.5 * 0.55))
    return _resize(_resize(patch, small), size)


def cut(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """One side missing."""
    gone = round(patch.shape[0] * severity * 0.9)
    turns = int(rng.integers(4))
    result = np.rot90(patch, turns).copy()
    result[:gone] = 0
    return np.rot90(result, -turns)


def fade(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Half transparent."""
    return patch * np.float32(1 - 0.9 * severity)


def bend(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Rows and columns shifted along waves."""
    size = patch.shape[0]
    reach = severity * size * 0.45
    waves = reach * np.sin(np.arange(size) / size * 2 * np.pi * rng.uniform(0.7, 2.2) + rng.uniform(0, 2 * np.pi))
    result = np.stack([np.roll(row, int(shift), axis=0) for row, shift in zip(patch, waves, strict=True)])
    columns = np.stack([np.roll(c, int(s), axis=0) for c, s in zip(result.swapaxes(0, 1), waves[::-1], strict=True)])
    return columns.swapaxes(0, 1)


def mix(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blended into another pictogram."""
    other = sprite(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], patch.shape[0])
    share = np.float32(0.75 * severity)
    return (1 - share) * patch + share * other


def patchwork(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """A part of another pictogram in its place."""
    size = patch.shape[0]
    other = sprite(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], size)
    edge = round(size * severity * 0.9)
    result = patch.copy()
    result[size - edge :] = other[size - edge :]
    return result


def scramble(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Pixels taken from random places nearby: the right colours without the shape."""
    size = patch.shape[0]
    reach = max(1, round(severity * size * 0.35))
    rows, columns = np.indices((size, size))
    rows = (rows + rng.integers(-reach, reach + 1, (size, size))).clip(0, size - 1)
    columns = (columns + rng.integers(-reach, reach + 1, (size, size))).clip(0, size - 1)
    return patch[rows, columns]


def melt(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Scrambled in clumps: patches of a few pixels from random places nearby."""
    size = patch.shape[0]
    reach = severity * size * 0.35
    coarse = max(3, size // 4)
    shifts = _resize(rng.uniform(-reach, reach, (coarse, coarse, 2)).astype(np.float32), size).round().astype(int)
    rows, columns = np.indices((size, size))
    return patch[(rows + shifts[..., 0]).clip(0, size - 1), (columns + shifts[..., 1]).clip(0, size - 1)]


def recolour(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Colours pulled towards another order of the channels."""
    order = [[1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2]][rng.integers(4)]
    result = patch.copy()
    result[..., :3] = (1 - severity) * patch[..., :3] + severity * patch[..., order]
    return result


def double(patch: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Drawn again over itself, a little off."""
    size = patch.shape[0]
    shift = max(1, round(size * 0.5 * severity))
    again = np.roll(patch, shift if rng.random() < 0.5 else -shift, axis=int(rng.integers(2)))
    return patch * (1 - again[..., 3:] * np.float32(0.6)) + again * np.float32(0.6)


SPOILERS: tuple[Callable[[np.ndarray, float, np.random.Generator], np.ndarray], ...] = (
    smear,
    smear,
    cut,
    fade,
    bend,
    mix,
    mix,
    patchwork,
    scramble,
    scramble,
    melt,
    melt,
    recolour,
    double,
)


def _stray(rng: np.random.Generator) -> Thing:
    x, y = rng.integers(8, SIZE - 8, size=2)
    return Thing(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], int(x), int(y), int(rng.integers(SMALLEST, 24)))


def _spot(thing: Thing) -> np.ndarray:
    """The mass of one thing, summing to 1 over the cells."""
    centres = (np.arange(CELLS) + 0.5) * CELL
    across = np.exp(-0.5 * ((centres - thing.x) / (SPREAD_CELLS * CELL)) ** 2)
    along = np.exp(-0.5 * ((centres - thing.y) / (SPREAD_CELLS * CELL)) ** 2)
    spot = along[:, None] * across[None, :]
    return (spot / spot.sum()).astype(np.float32)


def _blotches(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.normal(0, rng.uniform(0, 10), (4, 4, 3)).astype(np.float32)
    return _resize(coarse, SIZE)


def _resize(patch: np.ndarray, size: int) -> np.ndarray:
    channels = [
        Image.fromarray(np.ascontiguousarray(patch[..., i])).resize((size, size), Image.Resampling.BILINEAR)
        for i in range(patch.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)
