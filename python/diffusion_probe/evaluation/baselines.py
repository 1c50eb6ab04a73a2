"""What a probe has to beat: scores from the prompt alone, from the attention without learning, and from other early signals.

Every function gives scores [prompts, seeds]; higher means better expected quality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge

from ..data.dataset import Collection

SHARPNESS = 100.0  # of the softmax over tokens in the Attend-and-Excite score
SMOOTHING_CELLS = 0.5
ROWS = 256  # samples whose maps are in memory at a time


def prompt_only(training_prompts: Sequence[str], training_quality: np.ndarray, collection: Collection) -> np.ndarray:
    """Ridge regression from the words and word pairs of a prompt to its mean quality, fitted on training prompts."""
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    features = words.fit_transform(training_prompts)
    model = Ridge(alpha=3.0).fit(features, np.nanmean(training_quality, axis=1))
    predicted = model.predict(words.transform(collection.prompts))
    return np.repeat(predicted[:, None], collection.seeds, axis=1)


def true_prompt_mean(collection: Collection) -> np.ndarray:
    """The mean true quality of each prompt: the most that any predictor could know from the prompt alone."""
    return np.repeat(collection.quality.mean(axis=1, keepdims=True), collection.seeds, axis=1)


def attend_and_excite(collection: Collection, step: int) -> np.ndarray:
    """Of the most neglected thing: the peak of its smoothed map, after a sharp softmax over tokens (Chefer et al. 2023)."""
    maps = _mean_maps(collection, step)
    mask = collection.arrays["token_mask"].astype(bool)
    logits = np.where(mask[:, :, None, None], SHARPNESS * maps, -np.inf)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    weights /= weights.sum(axis=1, keepdims=True)
    smooth = gaussian_filter(weights, sigma=(0, 0, SMOOTHING_CELLS, SMOOTHING_CELLS), radius=(0, 0, 1, 1))
    return _per_prompt(_least(smooth.max(axis=(2, 3)), collection), collection)


def focus(collection: Collection, step: int) -> np.ndarray:
    """Of the most diffuse thing: the negative entropy of its map, as a distribution over places."""
    maps = _mean_maps(collection, step)
    shares = maps / np.maximum(maps.sum(axis=(2, 3), keepdims=True), 1e-9)
    negative_entropy = (shares * np.log(np.maximum(shares, 1e-12))).sum(axis=(2, 3))
    return _per_prompt(_least(negative_entropy, collection), collection)


def guidance_difference(collection: Collection, step: int, direction: float) -> np.ndarray:
    """Mean squared difference of conditional and unconditional prediction (as in CFG-Rejection, 2505.23343).

    `direction`, 1 or -1, is chosen on training prompts: reports of it disagree.
    """
    return direction * collection.per_prompt("guidance_difference", step)


def preview_quality(collection: Collection, step: int) -> np.ndarray:
    """The metric of the image expected from this step: the strongest rival, since it can use the true metric."""
    return collection.per_prompt("preview_quality", step)


def _mean_maps(collection: Collection, step: int) -> np.ndarray:
    attention, point = collection.arrays["attention"], collection.point_index(step)
    starts = range(0, len(attention), ROWS)
    return np.concatenate([attention[start : start + ROWS, point].mean(axis=1, dtype=np.float32) for start in starts])


def _least(values: np.ndarray, collection: Collection) -> np.ndarray:
    """The smallest value over the tokens that name things."""
    subjects = collection.arrays["subject_mask"].astype(bool)
    return np.where(subjects, values, np.inf).min(axis=1)


def _per_prompt(values: np.ndarray, collection: Collection) -> np.ndarray:
    return values.reshape(len(collection.prompts), collection.seeds)
