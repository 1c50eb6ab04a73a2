"""The file of scores and qualities beside a probe, with which decisions can be studied without images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SCORE_DIGITS = 5


@dataclass(frozen=True)
class KnownSamples:
    """Samples whose scores and qualities are both known, flat: n samples of some captions."""

    captions: int
    caption: np.ndarray  # int [n], index of the sample's caption
    quality: np.ndarray  # float64 [n]
    good_at: float  # quality from which a sample is good
    scores: dict[int, np.ndarray]  # by step: float64 [n]


def write_scores(
    path: Path, captions: Sequence[str], good_at: float, quality: np.ndarray, scores: Mapping[int, np.ndarray]
) -> None:
    """Write quality and scores by step, all [captions, seeds]."""
    fields = {
        "captions": list(captions),
        "good_at": good_at,
        "steps": {str(step): {"scores": _rounded(values)} for step, values in scores.items()},
        "quality": _rounded(quality),
    }
    path.write_text(json.dumps(fields, separators=(",", ":")) + "\n")


def read_scores(path: Path) -> KnownSamples:
    """Read the file of `write_scores`. Raises FileNotFoundError without one, and ValueError for one that is not valid."""
    if not path.exists():
        raise FileNotFoundError(f"{path} cannot be read: 'diffusion-probe evaluate' writes it")
    try:
        fields = json.loads(path.read_text())
        captions = len(fields["captions"])
        sizes = [len(row) for row in fields["quality"]]
        scores = {int(step): _flat(entry["scores"], captions, sizes) for step, entry in fields["steps"].items()}
        quality = _flat(fields["quality"], captions, sizes)
        return KnownSamples(captions, np.repeat(np.arange(captions), sizes), quality, float(fields["good_at"]), scores)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not valid: {type(error).__name__}: {error}") from error


def _flat(rows: Any, captions: int, sizes: Sequence[int]) -> np.ndarray:
    """All samples of all captions. Raises ValueError unless there is one finite number per sample."""
    if not captions or [len(row) for row in rows] != list(sizes) or len(rows) != captions or not all(sizes):
        raise ValueError("expected one score per step and one quality per sample of every caption")
    values = np.concatenate([np.asarray(row, np.float64) for row in rows])
    if not np.isfinite(values).all():
        raise ValueError("expected finite numbers")
    return values


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(float(value), SCORE_DIGITS) for value in row] for row in values]
