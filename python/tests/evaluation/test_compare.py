"""Two probes are compared on the same samples, with intervals of the paired difference."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.evaluation.compare import compare
from diffusion_probe.evaluation.figures import gap_closed, mean_known, pairwise_accuracy
from diffusion_probe.evaluation.score_file import write_scores

RNG = np.random.default_rng(0)
QUALITY = RNG.random((40, 16)).round(5)
NOISE = RNG.normal(0, 1, QUALITY.shape)


def folder_of(path: Path, noise: float, quality: np.ndarray = QUALITY, steps: tuple[int, ...] = (5, 10)) -> Path:
    """A probe whose scores are the quality and so much noise."""
    path.mkdir()
    scores = {step: (quality + noise * NOISE[:, : quality.shape[1]]).round(5) for step in steps}
    write_scores(path / "test-scores.json", [f"prompt {index}" for index in range(len(quality))], 0.6, quality, scores)
    (path / "probe.json").write_text(json.dumps({"metric": {"name": "chance", "range": [0, 1], "good_at": 0.6}}))
    return path


def test_the_differences_are_those_of_the_figures(tmp_path: Path) -> None:
    good, bad = folder_of(tmp_path / "good", 0.1), folder_of(tmp_path / "bad", 0.5)
    rows = {(row["step"], row["figure"]): row for row in compare(good, bad, repeats=50)}
    assert {figure for _, figure in rows} == {"srcc", "pairwise_accuracy", "gap_closed_4", "gap_closed_8", "gap_closed_16"}
    row = rows[10, "gap_closed_16"]
    assert row["value"] == pytest.approx(gap_closed((QUALITY + 0.1 * NOISE).round(5), QUALITY), abs=1e-4)
    assert row["difference"] == pytest.approx(row["value"] - row["against"], abs=2e-4)
    assert 0 < row["low"] <= row["difference"] <= row["high"]
    pairs = rows[5, "pairwise_accuracy"]
    assert pairs["against"] == pytest.approx(mean_known(pairwise_accuracy((QUALITY + 0.5 * NOISE).round(5), QUALITY)), abs=1e-4)


def test_equal_probes_do_not_differ_at_all(tmp_path: Path) -> None:
    rows = compare(folder_of(tmp_path / "one", 0.3), folder_of(tmp_path / "two", 0.3), repeats=20)
    assert all(row["low"] == row["difference"] == row["high"] == 0 for row in rows)


def test_the_command_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--folder", str(folder_of(tmp_path / "one", 0.3)), "--against", str(folder_of(tmp_path / "two", 0.1))]
    assert main(["compare", *arguments, "--repeats", "10", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| step | figure |")
    assert len(json.loads(lines[-1])) == 10


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"quality": QUALITY[::-1]}, "are of different samples"),
        ({"quality": QUALITY[:, :8]}, "are of different samples"),
        ({"steps": (1,)}, "have no step in common"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(other: dict, message: str, tmp_path: Path, capsys) -> None:
    noise = {"noise": 0.0} if "quality" in other else {"noise": 0.1}
    two = folder_of(tmp_path / "two", **noise, **other)
    assert main(["compare", "--folder", str(folder_of(tmp_path / "one", 0.3)), "--against", str(two)]) == 2
    assert message in capsys.readouterr().err


def test_missing_scores_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = folder_of(tmp_path / "one", 0.3)
    assert main(["compare", "--folder", str(one), "--against", str(tmp_path)]) == 2
    assert "test-scores.json cannot be read" in capsys.readouterr().err
