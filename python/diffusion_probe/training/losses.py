"""The loss of a probe: mean squared error plus a ranking loss within each prompt."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..probe.network import ProbeConfig
from .settings import TrainSettings


def probe_loss(scores: Tensor, quality: Tensor, config: ProbeConfig, settings: TrainSettings) -> Tensor:
    """Mean squared error plus, over all pairs of one prompt, a logistic loss on the order, weighted by how far apart they are.

    Samples whose quality is not known (nan) have no part in it.
    """
    low, high = config.metric_range
    known = quality.isfinite()
    truth = (quality - low) / (high - low)
    predicted = (scores.view_as(quality) - low) / (high - low)
    squared = F.mse_loss(predicted[known], truth[known])
    apart = (truth[:, :, None] - truth[:, None, :]).nan_to_num(0)
    guessed = predicted[:, :, None] - predicted[:, None, :]
    weight = apart.abs()
    order = F.softplus(-settings.ranking_sharpness * guessed * apart.sign())
    return squared + settings.ranking_weight * (order * weight).sum() / weight.sum().clamp(min=1e-6)
