"""Which captions may be used for what: a caption belongs to one split for ever, by a hash of what it means."""

from __future__ import annotations

import numpy as np

from .language import Request
from .scenes import sample_request

# Buckets, of 100, of each split. The backbone and the reward never see a caption of the other three.
SPLITS = {
    "world": range(0, 60),
    "train": range(60, 84),
    "calibration": range(84, 92),
    "test": range(92, 100),
}


def split_of(request: Request) -> str:
    """The split a request belongs to."""
    bucket = request.bucket()
    return next(name for name, buckets in SPLITS.items() if bucket in buckets)


def sample_of(split: str, rng: np.random.Generator) -> Request:
    """A random request of a split, in the frozen mix of captions."""
    while True:
        request = sample_request(rng)
        if request.bucket() in SPLITS[split]:
            return request


def distinct(split: str, count: int, seed: int) -> list[Request]:
    """`count` different requests of a split, in a fixed order for a seed: a longer list begins with the shorter one."""
    rng = np.random.default_rng([seed, list(SPLITS).index(split)])
    found: dict[str, Request] = {}
    while len(found) < count:
        request = sample_of(split, rng)
        found.setdefault(request.key(), request)
    return list(found.values())
