"""What a probe has to beat: scores from the prompt alone, from attention without learning, and from other early signals.

n samples are p prompts x s seeds, t tokens, h x w the grid of the maps. Higher scores mean better expected quality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge

from .correlations import spearman_within
from .figures import mean_known

SHARPNESS = 100.0  # of the softmax over tokens in the Attend-and-Excite score
SMOOTHING_CELLS = 0.5  # standard deviation of the Gaussian filter over a map
RIDGE_PENALTY = 3.0


def prompt_only(training_prompts: Sequence[str], training_quality: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """[p] from a ridge regression of mean quality on the words and word pairs of a prompt, fitted on training prompts.

    `training_quality` [training prompts, seeds] may hold nan, but one known quality per prompt.
    """
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    features = words.fit_transform(training_prompts)
    model = Ridge(alpha=RIDGE_PENALTY).fit(features, np.nanmean(training_quality, axis=1))
    return model.predict(words.transform(prompts))


def attend_and_excite(maps: np.ndarray, token_mask: np.ndarray, subject_mask: np.ndarray) -> np.ndarray:
    """[n]: the peak attention of the most neglected subject token (Chefer et al. 2023, arXiv 2301.13826).

    `maps` [n, t, h, w] are normalised by a sharp softmax over the tokens of `token_mask` [n, t], then smoothed. `subject_mask`
    [n, t] marks the tokens that name a thing.
    """
    logits = np.where(token_mask.astype(bool)[:, :, None, None], SHARPNESS * maps, -np.inf)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    weights /= weights.sum(axis=1, keepdims=True)
    smooth = gaussian_filter(weights, sigma=(0, 0, SMOOTHING_CELLS, SMOOTHING_CELLS), radius=(0, 0, 1, 1))
    return _lowest_subject(smooth.max(axis=(2, 3)), subject_mask)


def focus(maps: np.ndarray, subject_mask: np.ndarray) -> np.ndarray:
    """[n]: the negative entropy of the most diffuse subject token's map, taken as a distribution over positions."""
    shares = maps / np.maximum(maps.sum(axis=(2, 3), keepdims=True), 1e-9)
    negative_entropy = (shares * np.log(np.maximum(shares, 1e-12))).sum(axis=(2, 3))
    return _lowest_subject(negative_entropy, subject_mask)


def guidance_direction(training_difference: np.ndarray, training_quality: np.ndarray) -> float:
    """1 where a larger guidance difference means a better image on training prompts, else -1. Both arrays are [p, s].

    The difference is the one of CFG-Rejection (arXiv 2505.23343); publications disagree about its sign.
    """
    return 1.0 if mean_known(spearman_within(training_difference, training_quality)) >= 0 else -1.0


def _lowest_subject(values: np.ndarray, subject_mask: np.ndarray) -> np.ndarray:
    """[n]: the smallest of `values` [n, t] over subject tokens."""
    return np.where(subject_mask.astype(bool), values, np.inf).min(axis=1)
