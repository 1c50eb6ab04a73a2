"""How many bytes of a request a sample takes, counted on a request that the client has encoded."""

from __future__ import annotations

import numpy as np

from ..capture.attention_capture import GRID
from ..client.requests import ScoreOptions, score_request

GROUP = 8


def bytes_per_sample(layers: int, tokens: int, grid: tuple[int, int] = GRID) -> float:
    """Of a group of eight with all that the guard says about it; the maps in 16 bits."""
    attention = np.zeros((GROUP, layers, tokens, *grid), np.float16)
    run = "0" * 32
    options: ScoreOptions = {
        "token_mask": np.ones((GROUP, tokens), np.uint8),
        "model": "backbone@1",
        "group": f"{run}/0",
        "sample_ids": [f"{run}/{index}" for index in range(GROUP)],
        "step": 5,
        "total_steps": 25,
        "capture_id": "0" * 64,
    }
    return len(score_request(attention, 500.0, options).encode()) / GROUP
