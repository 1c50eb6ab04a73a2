"""Samples random captions and assigns each to one split, by a hash of its meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .captions import Caption, Phrase
from .vocabulary import BACKGROUNDS, MAX_THINGS, PICTOGRAMS

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
FIRST_SEED = 20


@dataclass(frozen=True)
class Draw:
    """Which captions a part of a data set takes: those of a split, drawn with a seed."""

    split: str
    seed: int = FIRST_SEED
    without: int = 0  # not the first so many captions that `FIRST_SEED` draws of the split


# Frozen too. The test captions are fresh ones: the first 608 of `FIRST_SEED` were used to judge version 1 of the probes. No
# unlabelled caption is one that a probe is trained on, or that a test takes as a new one.
DRAWS = {
    "train": Draw("train"),
    "calibration": Draw("calibration"),
    "calibration_more": Draw("calibration"),
    "test": Draw("test", seed=37, without=608),
    "unlabelled": Draw("train", seed=38, without=6100),
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


def distinct_captions(split: str, count: int, seed: int, without: int = 0) -> list[Caption]:
    """`count` captions of a split with different meanings. For the same seed, a longer list begins with the shorter one.

    `without`: not the first so many captions that `FIRST_SEED` draws of the split.
    """
    rng = np.random.default_rng([seed, list(SPLITS).index(split)])
    used = {caption.key() for caption in distinct_captions(split, without, FIRST_SEED)} if without else set()
    found: dict[str, Caption] = {}
    while len(found) < count:
        caption = sample_caption(rng, split)
        if caption.key() not in used:
            found.setdefault(caption.key(), caption)
    return list(found.values())


def data_captions(part: str, count: int) -> list[Caption]:
    """The first `count` captions of a part of a data set, one of `DRAWS`."""
    draw = DRAWS[part]
    return distinct_captions(draw.split, count, draw.seed, draw.without)
