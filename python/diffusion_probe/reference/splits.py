"""Samples random captions and assigns each to one split, by a hash of its meaning."""

from __future__ import annotations

import numpy as np

from .captions import BACKGROUNDS, MAX_THINGS, PICTOGRAMS, Caption, Phrase

# The buckets of each split. Backbone and reward are trained on "world", so they never see a caption of the other three.
SPLITS = {
    "world": range(0, 60),
    "train": range(60, 84),
    "calibration": range(84, 92),
    "test": range(92, 100),
}
# The frequency of captions by their number of things. Frozen, like all of the sampling: the probe's figures depend on it.
THINGS_WEIGHTS = {1: 0.15, 2: 0.30, 3: 0.30, 4: 0.25}
RELATION_CHANCE = 0.6
# How a number of things can be divided among phrases; a list named twice is drawn twice as often.
COUNTS = {
    1: [[1]],
    2: [[1, 1], [1, 1], [2]],
    3: [[1, 1, 1], [1, 2], [2, 1], [3]],
    4: [[1, 1, 2], [1, 2, 1], [2, 1, 1], [2, 2], [1, 3], [3, 1]],
}


def sample_caption(rng: np.random.Generator, split: str | None = None) -> Caption:
    """A random caption, of one split or of any."""
    while True:
        things = int(rng.choice(MAX_THINGS, p=list(THINGS_WEIGHTS.values()))) + 1
        counts = COUNTS[things][rng.integers(len(COUNTS[things]))]
        pictograms = rng.choice(len(PICTOGRAMS), size=len(counts), replace=False)
        relation = None
        if len(counts) > 1 and rng.random() < RELATION_CHANCE:
            relation = "left" if rng.random() < 0.5 else "above"
        background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
        phrases = tuple(Phrase(PICTOGRAMS[p], count) for p, count in zip(pictograms, counts, strict=True))
        caption = Caption(phrases, relation, background)
        if split is None or caption.bucket() in SPLITS[split]:
            return caption


def distinct_captions(split: str, count: int, seed: int) -> list[Caption]:
    """`count` captions of a split with different meanings. For the same seed, a longer list begins with the shorter one."""
    rng = np.random.default_rng([seed, list(SPLITS).index(split)])
    found: dict[str, Caption] = {}
    while len(found) < count:
        caption = sample_caption(rng, split)
        found.setdefault(caption.key(), caption)
    return list(found.values())
