"""The threshold behind the policy `max_false_drop`, the same arithmetic as in the service."""

from __future__ import annotations

import math

import numpy as np


def conformal_threshold(good_scores: np.ndarray, alpha: float) -> float | None:
    """The floor(alpha (n + 1))-th smallest of n good calibration scores; None where there are too few of them for `alpha`.

    Dropping what scores strictly below it drops a good sample with a probability of at most `alpha`, as long as calibration
    samples and new ones are exchangeable (split conformal prediction).
    """
    rank = math.floor(alpha * (len(good_scores) + 1) + 1e-9)
    return None if rank < 1 else float(np.sort(good_scores)[rank - 1])
