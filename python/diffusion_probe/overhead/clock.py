"""Times of things that are done in turn, so that a machine that grows busy or slow meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

MIDDLE = (25, 75)  # the percentiles given beside a median


def settle(device: torch.device) -> None:
    """Wait until an accelerator has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def in_turn(actions: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[list[float]]:
    """Seconds of each action, `repeats` of each; every other round runs backwards. A first round does not count."""
    seconds: list[list[float]] = [[] for _ in actions]
    for repeat in range(repeats + 1):
        for index in range(len(actions)) if repeat % 2 else reversed(range(len(actions))):
            settle(device)
            started = time.perf_counter()
            actions[index]()
            settle(device)
            if repeat:
                seconds[index].append(time.perf_counter() - started)
    return seconds


def milliseconds(seconds: Sequence[float]) -> str:
    """The median, and between which two the middle half lies."""
    low, middle, high = (1000 * float(value) for value in np.percentile(seconds, (MIDDLE[0], 50, MIDDLE[1])))
    return f"{_short(middle)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
