"""The x0 preview with the true metric as the score, of the captions that a probe was calibrated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.dataset import PREVIEW_QUALITY
from ..data.shards import read_split
from .runs import Runs


def preview_runs(data: Path, points: tuple[int, ...]) -> Runs:
    """Runs of the calibration split of a data set, with the quality of the preview at each point as the score.

    Raises ValueError for a data set without it, and for a point that was not collected.
    """
    collection = read_split(data, "calibration", ["quality", PREVIEW_QUALITY]).with_quality()
    if PREVIEW_QUALITY not in collection.arrays:
        raise ValueError(f"{data} holds no {PREVIEW_QUALITY}: omit --data, or collect with a metric that measures previews")
    scores = np.stack([collection.at_step(PREVIEW_QUALITY, step) for step in points], axis=-1)
    return Runs(points, collection.description.total_steps, scores, collection.quality)
