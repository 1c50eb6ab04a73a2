"""The matrix of wordings: scores and qualities of every wording of a caption, to compare policies on one set of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import with_layers
from ..data.shards import read_split
from ..evaluation.rounding import rounded
from ..evaluation.scores import score_collection
from ..probe.manifest import write_json
from ..probe.onnx_probe import OnnxProbe

MATRIX = "matrix.json"


@dataclass(frozen=True)
class Matrix:
    """Captions in several wordings, the one as given first, each drawn with the same seeds."""

    probe: str  # name@version
    total_steps: int
    points: tuple[int, ...]  # steps with scores, ascending
    wordings: list[list[str]]  # per caption; their number may differ
    scores: np.ndarray  # float [all wordings, seeds, points]
    quality: np.ndarray  # float [all wordings, seeds], judged against the caption as given

    @property
    def seeds(self) -> int:
        return self.quality.shape[1]

    @property
    def counts(self) -> np.ndarray:
        """[captions]: how many wordings each has."""
        return np.array([len(own) for own in self.wordings])

    @property
    def first(self) -> np.ndarray:
        """[captions]: the row of each caption as given."""
        return np.cumsum(self.counts) - self.counts

    def point_index(self, step: int) -> int:
        """Raises ValueError for a step without scores."""
        if step not in self.points:
            raise ValueError(f"the matrix has no scores at step {step}: expected one of {list(self.points)}")
        return self.points.index(step)

    def write(self, path: Path, step: int) -> None:
        """Write it as JSON, with the rank of each wording of a caption by mean quality and by mean score at `step`; 1 is best."""
        captions, point = [], self.point_index(step)
        for first, own in zip(self.first.tolist(), self.wordings, strict=True):
            rows = slice(first, first + len(own))
            by_quality = ranks(self.quality[rows].mean(axis=1))
            by_score = ranks(self.scores[rows, :, point].mean(axis=1))
            ranked = zip(own, by_quality, by_score, strict=True)
            captions.append([self._entry(first + index, *of_wording) for index, of_wording in enumerate(ranked)])
        fields = {"probe": self.probe, "total_steps": self.total_steps, "points": list(self.points), "rank_step": step}
        write_json(path, {**fields, "captions": captions}, indent=None)

    def _entry(self, row: int, text: str, rank_by_quality: int, rank_by_score: int) -> dict[str, Any]:
        return {
            "prompt": text,
            "rank_by_quality": rank_by_quality,
            "rank_by_score": rank_by_score,
            "quality": rounded(self.quality[row]),
            "scores": [rounded(of_seed) for of_seed in self.scores[row]],
        }

    @classmethod
    def read(cls, path: Path) -> Matrix:
        """Raises FileNotFoundError without the file, and ValueError for one that is not valid."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            entries = [entry for own in fields["captions"] for entry in own]
            quality = np.array([entry["quality"] for entry in entries], np.float64)
            scores = np.array([entry["scores"] for entry in entries], np.float64)
            points = tuple(fields["points"])
            if scores.shape != (*quality.shape, len(points)) or not np.isfinite(scores).all() or not np.isfinite(quality).all():
                raise ValueError("expected finite scores and qualities of every seed")
            wordings = [[str(entry["prompt"]) for entry in own] for own in fields["captions"]]
            return cls(fields["probe"], int(fields["total_steps"]), points, wordings, scores, quality)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not valid: {type(error).__name__}: {error}") from error


def score_wordings(data: Path, split: str, folder: Path, wordings: Sequence[Sequence[str]]) -> Matrix:
    """The matrix of collected samples, whose prompts are the wordings in order, by the probe in `folder`.

    A caption with an image of unknown quality is not in it. Raises ValueError for samples of other prompts or another capture
    than the probe's, and where no caption remains.
    """
    probe = OnnxProbe(folder)
    manifest = probe.manifest
    collection = with_layers(read_split(data, split), manifest["capture"]["layers"])
    if collection.prompts != [text for own in wordings for text in own]:
        raise ValueError(f"{data} holds other wordings: use another folder")
    grid, own = collection.description.capture.height, manifest["capture"]["height"]
    if grid != own:
        raise ValueError(f"{data} holds maps of {grid} x {grid}, the probe reads {own} x {own}: use another folder")
    points = tuple(point["step"] for point in manifest["decision_points"])
    scores = np.stack([score_collection(probe, collection, step) for step in points], axis=-1).astype(np.float64)
    caption = np.repeat(np.arange(len(wordings)), [len(own) for own in wordings])
    unknown = np.unique(caption[~np.isfinite(collection.quality).all(axis=1)])
    known = ~np.isin(caption, unknown)
    if not known.any():
        raise ValueError(f"every prompt in {data} has an image of unknown quality")
    name, total_steps = f"{manifest['name']}@{manifest['version']}", collection.description.total_steps
    texts = [list(own) for index, own in enumerate(wordings) if index not in unknown]
    return Matrix(name, total_steps, points, texts, scores[known], collection.quality[known].astype(np.float64))


def ranks(values: np.ndarray) -> list[int]:
    """1 for the highest; of equal values the first."""
    return (np.argsort(np.argsort(-values, kind="stable")) + 1).tolist()
