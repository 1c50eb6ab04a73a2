"""The rows that a rank trains on, padded so that they fill its batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def trained_rows(advantages: ArrayLike, batches: int, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The rows with an advantage, padded to a multiple of `batches`, and their advantages for a loss that is a mean over them.

    `advantages` [rows] or [rows, steps]: weighted, 0 in dropped rows. Returns int64 [trained] and float64 [trained] or
    [trained, steps], scaled by trained / rows, so that their mean is that over all rows. Padding has the advantage 0. It repeats
    rows with an advantage, since the latents of dropped rows are not the policy's; only where there is none it takes others.
    flow_grpo pads by rows whose own advantage is 0. Raises ValueError for less than one batch.
    """
    advantages = np.asarray(advantages, np.float64)
    if batches < 1:
        raise ValueError(f"batches is {batches}: expected at least 1")
    count = len(advantages)
    rows = np.flatnonzero(np.abs(advantages).reshape(count, -1).sum(axis=1))
    missing = -len(rows) % batches if len(rows) else min(batches, count)
    extra = np.random.default_rng(seed).choice(rows if len(rows) else count, missing, replace=len(rows) > 0)
    trained = np.concatenate([rows, extra]).astype(np.int64)
    result = advantages[trained] * (len(trained) / max(1, count))
    result[len(rows) :] = 0
    return trained, result
