"""How much a layer's maps say about which image of a prompt is better, beside what chance alone would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV

from ...data.dataset import Collection
from ...progress import Progress
from ..correlations import spearman_within
from .features import FEATURES, map_features

FOLDS = 5
PENALTIES = np.logspace(0, 4, 5)  # of the ridge regression on standardised features
PERMUTATIONS = 200
NOISE_QUANTILE = 0.95
MIN_PROMPTS = 2 * FOLDS
MIN_SEEDS = 3
SAMPLES_AT_A_TIME = 16  # whose maps are in memory


@dataclass(frozen=True)
class LayerSignals:
    """The signal of l layers at p captured steps: mean Spearman correlations within prompts, -1 to 1."""

    layers: tuple[str, ...]
    steps: tuple[int, ...]
    by_step: np.ndarray  # float64 [l, p]
    noise_floor: float  # what the best of l layers without any signal exceeds in 5% of cases
    prompts: int
    seeds: int

    @property
    def mean(self) -> np.ndarray:
        """[l]: the mean over steps, which is compared with the noise floor."""
        return self.by_step.mean(axis=1)


def measure_signals(collection: Collection, seed: int = 0, permutations: int = PERMUTATIONS) -> LayerSignals:
    """The signal of every captured layer at every captured step.

    The summaries of a layer's maps (`map_features`) and the qualities are centred within each prompt, so that how hard a prompt
    is counts for nothing. A ridge regression predicts the centred quality of prompts that it was not fitted on (5 folds of
    prompts; the penalty is that of the lowest leave-one-out error within the other folds). The signal is the mean over prompts
    of the Spearman correlation of prediction and quality.

    The noise floor is the 95% quantile, over `permutations` shuffles of the qualities within each prompt, of the highest mean
    signal of all layers: the maximum takes account of how many layers there are (Westfall and Young, Resampling-Based Multiple
    Testing, 1993). Raises ValueError for fewer than MIN_PROMPTS prompts whose qualities are all known, or MIN_SEEDS samples per
    prompt.
    """
    if collection.seeds < MIN_SEEDS:
        raise ValueError(f"{collection.seeds} images per prompt: layers can be compared within prompts from {MIN_SEEDS}")
    known = collection.with_quality()
    if len(known.prompts) < MIN_PROMPTS:
        raise ValueError(f"{len(known.prompts)} prompts with all qualities: layers can be compared from {MIN_PROMPTS}")
    description = known.description
    rng = np.random.default_rng(seed)
    shuffled = [rng.permuted(known.quality, axis=1) for _ in range(permutations)]
    targets = np.stack([known.quality, *shuffled], axis=-1).astype(np.float64)  # [prompts, seeds, 1 + permutations]
    steps, layers = [point.step for point in description.points], description.capture.layers
    folds = rng.permutation(len(known.prompts)) % FOLDS
    signals = np.zeros((len(layers), len(steps), targets.shape[-1]))
    features = np.zeros((len(layers), *known.quality.shape, len(FEATURES)), np.float32)
    flat = features.reshape(len(layers), known.quality.size, len(FEATURES))
    for point, step in enumerate(steps):
        for start in Progress(f"maps of step {step}", 0, -(-known.quality.size // SAMPLES_AT_A_TIME), unit="batch"):
            samples = slice(start * SAMPLES_AT_A_TIME, (start + 1) * SAMPLES_AT_A_TIME)
            own = map_features(known.arrays["attention"][samples, point], known.arrays["token_mask"][samples])
            flat[:, samples] = own.swapaxes(0, 1)
        for layer in Progress(f"signal at step {step}", 0, len(layers), unit="layer"):
            signals[layer, point] = held_out_correlations(features[layer], targets, folds)
    highest = signals[..., 1:].mean(axis=1).max(axis=0)
    floor = float(np.quantile(highest, NOISE_QUANTILE))
    return LayerSignals(layers, tuple(steps), signals[..., 0], floor, len(known.prompts), known.seeds)


def held_out_correlations(features: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[t]: the signal of features [prompts, seeds, f] for each of t targets [prompts, seeds, t]; `folds` [prompts]: from 0.

    A prompt whose target or prediction is constant does not count; without any other the signal is 0.
    """
    correlations = correlations_by_prompt(features, targets, folds)
    known = np.isfinite(correlations)
    return np.where(known, correlations, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def correlations_by_prompt(features: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[t, prompts]: as `held_out_correlations`, for each prompt; nan where its target or prediction is constant."""
    inputs = features - features.mean(axis=1, keepdims=True, dtype=np.float64)
    scale = inputs.std(axis=(0, 1))
    inputs = np.divide(inputs, scale, out=np.zeros_like(inputs), where=scale > 1e-6)
    centred = targets - targets.mean(axis=1, keepdims=True)
    predicted = np.zeros_like(centred)
    for fold in np.unique(folds):
        others = folds != fold
        model = RidgeCV(PENALTIES, fit_intercept=False, alpha_per_target=True)
        model.fit(inputs[others].reshape(-1, inputs.shape[-1]), centred[others].reshape(-1, targets.shape[-1]))
        predicted[~others] = (inputs[~others].reshape(-1, inputs.shape[-1]) @ model.coef_.T).reshape(predicted[~others].shape)
    # Sums of squares that differ in their last digits only are no order.
    pairs = (np.moveaxis(np.round(values, 9), -1, 0).reshape(-1, targets.shape[1]) for values in (predicted, targets))
    return spearman_within(*pairs).reshape(targets.shape[-1], len(folds))
