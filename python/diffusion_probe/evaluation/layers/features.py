"""Summaries of a layer's attention maps, cheap enough to compute for every layer of a backbone. Needs NumPy alone.

They are what training-free scores of attention read: how much attention a token gets, how concentrated its map is
(Attend-and-Excite, arXiv 2301.13826), its entropy (HPM-Predict, arXiv 2606.05478), how far maps of different tokens overlap
(A-STAR, arXiv 2306.14544), and where the image attends to text.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

TOKEN_FEATURES = ("log_mass", "entropy", "log_peak", "spread")
OVER_TOKENS = ("mean", "lowest", "highest")
CELLS = 4  # the mass of all tokens is summed in CELLS x CELLS cells of the map
SMALLEST = 1e-6  # keeps logarithms finite
FEATURES = (
    *(f"{over}_{name}" for name in TOKEN_FEATURES for over in OVER_TOKENS),
    *("mean_overlap", "highest_overlap"),
    *(f"log_mass_of_cell_{row}_{column}" for row in range(CELLS) for column in range(CELLS)),
)


def map_features(attention: np.ndarray, token_mask: np.ndarray) -> np.ndarray:
    """Summaries of maps: float32 [samples, layers, len(FEATURES)].

    `attention`: float16 [samples, layers, tokens, height, width], probabilities. `token_mask`: uint8 [samples, tokens], 1 =
    real; at least one token of each sample is. Log mass and log peak: of the mean and the maximum over positions. Entropy: of
    the map normalised to a sum of 1, as a share of that of a uniform map, 0 to 1. Spread: standard deviation of the position,
    in sides of the map. Overlap: Bhattacharyya coefficient of two normalised maps, 0 to 1, over pairs of tokens; 0 with a
    single one.
    """
    maps = attention.astype(np.float32)
    real = token_mask.astype(bool)[:, None]  # [samples, 1, tokens]
    maps *= real[..., None, None]
    height, width = maps.shape[-2:]
    flat = maps.reshape(*maps.shape[:-2], height * width)
    normalised = flat + SMALLEST
    normalised /= normalised.sum(axis=-1, keepdims=True)
    by_token = {
        "log_mass": np.log(flat.mean(axis=-1) + SMALLEST),
        "entropy": -(normalised * np.log(normalised)).sum(axis=-1) / np.log(max(height * width, 2)),
        "log_peak": np.log(flat.max(axis=-1) + SMALLEST),
        "spread": _spread(normalised, height, width),
    }
    features = [summary for name in TOKEN_FEATURES for summary in _over_tokens(by_token[name], real)]
    features += _overlaps(np.sqrt(normalised), real)
    cells = _cells(maps.sum(axis=2))
    return np.stack([*features, *np.moveaxis(np.log(cells + SMALLEST), -1, 0)], axis=-1)


def _over_tokens(values: np.ndarray, real: np.ndarray) -> list[np.ndarray]:
    """The summaries `OVER_TOKENS` of [samples, layers, tokens] over real tokens."""
    mean = (values * real).sum(axis=-1) / real.sum(axis=-1)
    return [mean, np.where(real, values, np.inf).min(axis=-1), np.where(real, values, -np.inf).max(axis=-1)]


def _spread(normalised: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = np.divmod(np.arange(height * width), width)
    variance = np.zeros(normalised.shape[:-1], np.float32)
    for position in ((rows + 0.5) / height, (columns + 0.5) / width):
        mean = normalised @ position.astype(np.float32)
        variance += np.maximum(normalised @ (position**2).astype(np.float32) - mean**2, 0)
    return np.sqrt(variance)


def _overlaps(roots: np.ndarray, real: np.ndarray) -> list[np.ndarray]:
    """Mean and maximum over pairs of real tokens of the overlap of maps whose roots are [samples, layers, tokens, positions]."""
    tokens = roots.shape[2]
    pairs = real[..., :, None] & real[..., None, :] & ~np.eye(tokens, dtype=bool)
    overlap = (roots @ roots.swapaxes(-1, -2)) * pairs
    return [overlap.sum(axis=(-1, -2)) / np.maximum(pairs.sum(axis=(-1, -2)), 1), overlap.max(axis=(-1, -2))]


def _cells(mass: np.ndarray) -> np.ndarray:
    """Means of [samples, layers, height, width] in cells: [samples, layers, CELLS * CELLS]. A map of fewer rows repeats them."""
    for axis in (-2, -1):
        side = mass.shape[axis]
        edges = np.linspace(0, side, CELLS + 1)
        parts = [slice(int(start), max(int(np.ceil(end)), int(start) + 1)) for start, end in pairwise(edges)]
        index = (slice(None),) * (mass.ndim + axis)
        mass = np.stack([mass[(*index, part)].mean(axis=axis) for part in parts], axis=axis)
    return mass.reshape(*mass.shape[:-2], CELLS * CELLS)
