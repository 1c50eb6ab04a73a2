"""Times of things that are done in turn, so that a machine that grows slow meets all of them alike.

On the CPU it is the time that this process computed, on one thread: what else runs there hardly matters. On an accelerator it is
the time that passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

MIDDLE = (25, 75)  # the percentiles given beside a median


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside it PyTorch computes on one thread, where it computes on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def now(device: torch.device) -> float:
    """In seconds, when all that the device was told is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


def in_turn(actions: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[list[float]]:
    """Seconds of each action, `repeats` of each; every other round runs backwards. A first round does not count."""
    seconds: list[list[float]] = [[] for _ in actions]
    for repeat in range(repeats + 1):
        for index in range(len(actions)) if repeat % 2 else reversed(range(len(actions))):
            started = now(device)
            actions[index]()
            if repeat:
                seconds[index].append(now(device) - started)
    return seconds


def milliseconds(seconds: Sequence[float]) -> str:
    """The median, and between which two the middle half lies."""
    low, middle, high = (1000 * float(value) for value in np.percentile(seconds, (MIDDLE[0], 50, MIDDLE[1])))
    return f"{_short(middle)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
