"""How well a probe ranks the wordings of one caption, and figures with intervals over captions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..evaluation.figures import bootstrap, mean_known, pairwise_accuracy
from .matrix import Matrix

REPEATS = 2000  # bootstrap resamples
DIGITS = 4


def ranking(matrix: Matrix, step: int, metric_range: tuple[float, float]) -> dict[str, Any]:
    """How well the scores at `step` rank the rewrites of one caption: pairwise, not pooled over captions.

    `pairwise_accuracy`: of images of different rewrites with the same seed. `pairwise_accuracy_of_means`: of the rewrites' means
    over seeds. `wording_variance_share`: what part of the variance of quality within a caption is between its wordings.
    """
    point = matrix.point_index(step)
    of_images, of_means, shares = [], [], []
    for first, count in zip(matrix.first, matrix.counts, strict=True):
        rows = slice(first + 1, first + count)
        scores, quality = matrix.scores[rows, :, point], matrix.quality[rows]
        if count > 2:
            of_images.append(mean_known(pairwise_accuracy(scores.T, quality.T, metric_range)))
            means = scores.mean(axis=1)[None], quality.mean(axis=1)[None]
            of_means.append(mean_known(pairwise_accuracy(*means, metric_range)))
        if count > 1 and matrix.seeds > 1:
            everything = matrix.quality[first : first + count]
            noise = everything.var(axis=1, ddof=1).mean()
            between = max(0.0, float(everything.mean(axis=1).var(ddof=1) - noise / matrix.seeds))
            shares.append((between, between + noise))
    accuracy = np.array(of_images)
    between, whole = np.array(shares).sum(axis=0) if shares else (math.nan, math.nan)
    return {
        **figure("pairwise_accuracy", lambda rows: mean_known(accuracy[rows]), len(accuracy)),
        "pairwise_accuracy_of_means": known(mean_known(np.array(of_means))),
        "wording_variance_share": known(per(float(between), float(whole))),
    }


def figure(name: str, of: Callable[[Any], float], captions: int) -> dict[str, Any]:
    """A figure and its 95% interval over resampled captions. `of` takes indices of captions, or a slice of all."""
    interval = bootstrap(of, captions, REPEATS) if captions else (math.nan, math.nan)
    return {name: known(of(slice(None))), f"{name}_interval": [known(end) for end in interval]}


def per(value: float, by: float) -> float:
    """The quotient; nan for a division by 0."""
    return value / by if by else math.nan


def known(value: float) -> float | None:
    """As it is written; None for nan."""
    return None if math.isnan(value) else round(float(value), DIGITS)
