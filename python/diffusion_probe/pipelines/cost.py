"""What a collection will cost, told before it begins, from one image that was really made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..data.source import Source

HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Of one sample."""

    seconds: float
    bytes: int


def measure(source: Source, prompts: Sequence[str], steps: Sequence[int]) -> Cost:
    """Draws, captures and judges one image of the longest prompt. The source has drawn before: nothing is loaded any more."""
    prompt = max(prompts, key=lambda prompt: len(prompt.split()))
    started = time.monotonic()
    samples = source.generate([prompt], [0], steps)
    seconds = time.monotonic() - started
    arrays = [array for array in vars(samples).values() if array is not None]
    return Cost(seconds, sum(array.nbytes for array in arrays))


def estimate(cost: Cost, samples: int, processes: int) -> str:
    """In words."""
    hours = samples * cost.seconds / HOUR
    wall = "" if processes == 1 else f", {hours / processes:.2g} hours on {processes}"
    return (
        f"{samples} images to make: about {hours:.2g} hours of one device{wall}, and {readable(samples * cost.bytes)} on disk "
        f"({cost.seconds:.2g} s and {readable(cost.bytes)} for one image, drawn alone; in batches it is usually faster)"
    )


def readable(size: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
