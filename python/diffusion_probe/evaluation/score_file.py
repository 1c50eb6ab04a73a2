"""The file of scores and qualities beside a probe: decisions can be studied with it without images. Needs NumPy alone."""

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
    """n samples of some captions whose scores and qualities are known."""

    captions: int
    caption: np.ndarray  # int [n], index of the sample's caption
    quality: np.ndarray  # float64 [n]
    good_at: float  # quality from which a sample is good
    scores: dict[int, np.ndarray]  # by step: float64 [n]


def write_scores(path: Path, captions: list[str], good_at: float, quality: np.ndarray, scores: Mapping[int, np.ndarray]) -> None:
    """Write quality and scores by step, all [captions, seeds]."""
    steps = {str(step): {"scores": _rounded(values)} for step, values in scores.items()}
    fields = {"captions": captions, "good_at": good_at, "steps": steps, "quality": _rounded(quality)}
    path.write_text(json.dumps(fields, separators=(",", ":")) + "\n")


def read_scores(path: Path) -> KnownSamples:
    """Read the file of `write_scores`. Raises FileNotFoundError without one, and ValueError for one that is not valid."""
    if not path.exists():
        raise FileNotFoundError(f"{path} cannot be read: 'diffusion-probe evaluate' writes it")
    try:
        fields = json.loads(path.read_text())
        sizes = [len(row) for row in fields["quality"]]
        if not sizes or len(sizes) != len(fields["captions"]) or not all(sizes):
            raise ValueError("expected qualities for every caption")
        caption = np.repeat(np.arange(len(sizes)), sizes)
        scores = {int(step): _flat(entry["scores"], sizes) for step, entry in fields["steps"].items()}
        return KnownSamples(len(sizes), caption, _flat(fields["quality"], sizes), float(fields["good_at"]), scores)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not valid: {type(error).__name__}: {error}") from error


def _flat(values: Any, sizes: Sequence[int]) -> np.ndarray:
    flat = np.array([value for row in values for value in row], np.float64)
    if [len(row) for row in values] != sizes or not np.isfinite(flat).all():
        raise ValueError("expected one finite score per step and one quality per sample")
    return flat


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(float(value), SCORE_DIGITS) for value in row] for row in values]
