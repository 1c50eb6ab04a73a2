"""Times several actions in alternation, so that a machine that slows down affects all of them alike.

On the CPU it measures this process's CPU time on one thread, so other processes hardly matter; on an accelerator, wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

QUARTILES = (25, 50, 75)


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which PyTorch uses one CPU thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clock(device: torch.device) -> float:
    """Seconds, read after the device has finished all queued work."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


def time_alternating(actions: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[list[float]]:
    """Seconds of each action, `repeats` values each. Every other round runs in reverse order; a warm-up round is not counted."""
    seconds: list[list[float]] = [[] for _ in actions]
    for repeat in range(repeats + 1):
        for index in range(len(actions)) if repeat % 2 else reversed(range(len(actions))):
            started = clock(device)
            actions[index]()
            if repeat:
                seconds[index].append(clock(device) - started)
    return seconds


def milliseconds(seconds: Sequence[float]) -> str:
    """The median in milliseconds, with the quartiles: "3 (2 to 4)"."""
    low, middle, high = (1000 * float(value) for value in np.percentile(seconds, QUARTILES))
    return f"{_short(middle)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
