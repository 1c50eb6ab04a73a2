"""Judges a network on the prompts that training holds back."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import spearmanr

from ..data.dataset import Collection
from ..data.inputs import probe_inputs
from ..evaluation.figures import gap_closed, mean_known, pairwise_accuracy
from ..probe.blocks import Network
from .losses import probe_loss
from .settings import TrainSettings

VALIDATION_BATCH = 256


def validate(probe: Network, collection: Collection, settings: TrainSettings) -> dict[str, float]:
    """The mean loss; at each decision point, pooled rank correlation, pairwise accuracy and share of the oracle gap closed."""
    figures = {"held_back_loss": 0.0}
    quality = collection.quality
    for point in collection.description.points:
        starts = range(0, quality.size, VALIDATION_BATCH)
        rows = [slice(start, min(start + VALIDATION_BATCH, quality.size)) for start in starts]
        scores = np.concatenate([probe.score(probe_inputs(collection, point.step, part)) for part in rows]).reshape(quality.shape)
        loss = probe_loss(torch.from_numpy(scores), torch.from_numpy(quality), probe.config, settings)
        figures["held_back_loss"] += float(loss) / len(collection.description.points)
        figures[f"srcc@{point.step}"] = round(float(spearmanr(scores.ravel(), quality.ravel()).statistic), 4)
        figures[f"pairwise@{point.step}"] = round(mean_known(pairwise_accuracy(scores, quality, probe.config.metric_range)), 4)
        figures[f"gap@{point.step}"] = round(gap_closed(scores, quality), 4)
    return figures
