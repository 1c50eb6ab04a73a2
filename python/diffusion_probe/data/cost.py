"""Estimates what a collection costs: device time and disk space."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .source import Source

HOUR = 3600  # seconds


@dataclass(frozen=True)
class SampleCost:
    """Device time and disk space of one sample."""

    seconds: float
    bytes: int


def measure_cost(source: Source, prompts: Sequence[str], steps: Sequence[int]) -> SampleCost:
    """Generate one sample of the longest prompt. The source has generated before, so its loading is not measured."""
    prompt = max(prompts, key=lambda prompt: len(prompt.split()))
    started = time.monotonic()
    samples = source.generate([prompt], [0], steps)
    seconds = time.monotonic() - started
    return SampleCost(seconds, sum(array.nbytes for array in vars(samples).values() if array is not None))


def cost_text(cost: SampleCost, samples: int, processes: int) -> str:
    """One sentence: device hours, wall hours on several processes, and disk space."""
    hours = samples * cost.seconds / HOUR
    wall = "" if processes == 1 else f", {hours / processes:.2g} hours on {processes}"
    return (
        f"{samples} images to make: about {hours:.2g} hours of one device{wall}, and {_size(samples * cost.bytes)} on disk "
        f"({cost.seconds:.2g} s and {_size(cost.bytes)} for one image, generated alone; batches are usually faster)"
    )


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
