"""The file of scores is read by caption and step, or refused with what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.evaluation.score_file import read_scores, write_scores

FIELDS = {
    "captions": ["a", "b"],
    "good_at": 0.6,
    "steps": {"5": {"scores": [[0.1, 0.2], [0.3]]}, "10": {"scores": [[0.4, 0.5], [0.6]]}},
    "quality": [[0.7, 0.8], [0.9]],
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "scores.json"
    path.write_text(json.dumps({**FIELDS, **changes}))
    return path


def test_scores_and_qualities_are_joined_by_caption_and_step(tmp_path: Path) -> None:
    samples = read_scores(written(tmp_path))
    assert list(samples.scores) == [5, 10]
    assert (samples.captions, samples.good_at) == (2, 0.6)
    assert samples.caption.tolist() == [0, 0, 1]
    assert samples.scores[10].tolist() == [0.4, 0.5, 0.6]
    assert samples.quality.tolist() == [0.7, 0.8, 0.9]
    assert 3 not in samples.scores


def test_what_was_written_is_read(tmp_path: Path) -> None:
    quality = np.array([[0.25, 0.5], [0.75, 1.0]])
    write_scores(tmp_path / "scores.json", ["a", "b"], 0.6, quality, {5: quality / 2})
    samples = read_scores(tmp_path / "scores.json")
    assert samples.quality.tolist() == quality.ravel().tolist()
    assert samples.scores[5].tolist() == (quality / 2).ravel().tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": {"5": {"scores": [[0.1, 0.2]]}}}, "one finite score per step and one quality per sample"),
        ({"steps": {"5": {"scores": [[0.1], [0.3]]}}}, "one finite score per step and one quality per sample"),
        ({"captions": []}, ""),
        ({"quality": [[0.7, None], [0.9]]}, ""),
        ({"steps": []}, ""),
    ],
)
def test_an_invalid_file_is_refused(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"scores\.json is not valid: .*{message}"):
        read_scores(written(tmp_path, **changes))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(ValueError, match=r"scores\.json is not valid"):
        read_scores(tmp_path / "scores.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere.scores\.json cannot be read"):
        read_scores(Path("nowhere/scores.json"))
