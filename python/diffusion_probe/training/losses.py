"""The loss of a probe: mean squared error plus a ranking loss within each prompt."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..probe.config import ProbeConfig
from .settings import TrainSettings


def probe_loss(scores: Tensor, quality: Tensor, config: ProbeConfig, settings: TrainSettings) -> Tensor:
    """Mean squared error plus a pairwise ranking loss within each prompt, both in units of the metric's range.

    `scores` and `quality` hold [prompts, seeds]; samples whose quality is nan are ignored. The ranking loss is RankNet's
    logistic loss (Burges et al., Learning to Rank using Gradient Descent, ICML 2005), each pair weighted by the difference
    of its qualities.
    """
    low, high = config.metric_range
    known = quality.isfinite()
    truth = (quality - low) / (high - low)
    predicted = (scores.view_as(quality) - low) / (high - low)
    squared = F.mse_loss(predicted[known], truth[known])
    true_gap = (truth[:, :, None] - truth[:, None, :]).nan_to_num(0)
    predicted_gap = predicted[:, :, None] - predicted[:, None, :]
    weight = true_gap.abs()
    ranking = F.softplus(-settings.ranking_sharpness * predicted_gap * true_gap.sign())
    return squared + settings.ranking_weight * (ranking * weight).sum() / weight.sum().clamp(min=1e-6)
