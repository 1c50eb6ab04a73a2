"""The study false-drop: its arithmetic on samples counted by hand, its text, its command, and its committed result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.evaluation.conformal import conformal_threshold
from diffusion_probe.evaluation.figures import bootstrap
from diffusion_probe.evaluation.score_file import KnownSamples
from diffusion_probe.evaluation.studies.false_drop import (
    parse_alphas,
    parse_confidence,
    study_false_drop,
    study_row,
    study_table,
    uncalibrated_text,
)

ROOT = Path(__file__).parents[4]
SHIPPED = ROOT / "models" / "pictogram" / "2"
# With 9 good scores, 0.1 to 0.9, an alpha of 0.2 puts the threshold at 0.2.
GOOD_SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
FIELDS = ["alpha", "false_drop", "interval", "drop_rate", "steps_saved", "kept_quality", "random_kept_quality"]
SCORES = {
    "captions": ["a", "b"],
    "good_at": 0.6,
    "steps": {"5": {"scores": [[0, 0.9], [0.95]]}},
    "quality": [[0.1, 0.7], [0.8]],
}


def samples(good_at: float = 0.6) -> KnownSamples:
    """Two captions of four samples."""
    scores = np.array([0.1, 0.15, 0.3, 0.9, 0.05, 0.5, 0.6, 0.7])
    quality = np.array([0.2, 0.7, 0.6, 0.9, 0.1, 0.1, 0.8, 0.4])
    return KnownSamples(2, np.repeat([0, 1], 4), quality, good_at, {5: scores})


def row(alpha: float, of: KnownSamples | None = None, good_scores: np.ndarray = GOOD_SCORES) -> dict:
    return study_row(of or samples(), 5, 25, alpha, conformal_threshold(good_scores, alpha))


def probe_with_scores(folder: Path, content: str) -> Path:
    """The shipped probe's manifest beside made-up scores."""
    shutil.copy(SHIPPED / "probe.json", folder)
    (folder / "test-scores.json").write_text(content)
    return folder


def test_dropped_lost_saved_and_kept_samples_are_counted() -> None:
    # Caption a alone loses one of three good samples, caption b alone none of one.
    assert row(0.2) == {
        "alpha": 0.2,
        "false_drop": 0.25,
        "interval": [0, 0.3333],
        "drop_rate": 0.375,
        "steps_saved": 0.3,
        "kept_quality": 0.56,
        "random_kept_quality": 0.475,
    }


def test_nothing_is_dropped_where_the_calibration_is_too_small_for_the_alpha() -> None:
    assert uncalibrated_text([None, 0.1, 0.2], [0.05, 0.1, 0.2]).startswith("At 5% nothing is dropped: ")
    small = row(0.05)
    assert [small["false_drop"], small["drop_rate"], small["kept_quality"]] == [0, 0, small["random_kept_quality"]]
    assert row(0.2, good_scores=np.array([]))["drop_rate"] == 0


def test_figures_that_do_not_exist_are_none() -> None:
    all_bad = row(0.2, samples(good_at=2))
    assert [all_bad["false_drop"], all_bad["interval"]] == [None, None]
    all_dropped = row(0.2, KnownSamples(1, np.array([0]), np.array([0.7]), 0.6, {5: np.array([0.01])}))
    assert [all_dropped[name] for name in ("false_drop", "kept_quality", "random_kept_quality")] == [1, None, 0.7]


def test_the_interval_of_a_mean_is_two_standard_errors_to_either_side() -> None:
    values = np.random.default_rng(3).random(400)
    intervals = [bootstrap(lambda rows: float(values[rows].mean()), 400, repeats=1000) for _ in range(2)]
    low, high = intervals[0]
    error = np.sqrt(1 / 12 / 400)
    assert abs((low + high) / 2 - values.mean()) < 0.2 * error
    assert abs((high - low) / (2 * 1.96 * error) - 1) < 0.15
    assert intervals[0] == intervals[1]


def test_resamples_without_the_figure_do_not_count() -> None:
    low, high = bootstrap(lambda rows: 1 / (rows == 1).sum() - 1 / 3 if (rows == 1).any() else float("nan"), 2)
    assert np.isfinite([low, high]).all()


def test_the_columns_of_the_table_line_up_and_a_missing_figure_is_a_dash() -> None:
    rows = [
        dict(zip(FIELDS, (0.05, 0.0412, [0.03, 0.0526], 0.25, 0.2, 0.61, 0.5), strict=True)),
        dict(zip(FIELDS, (0.025, None, None, 0, 0, None, 0.5), strict=True)),
    ]
    head, *lines = study_table(rows).split("\n")
    assert len({len(line) for line in (head, *lines)}) == 1
    assert head.split("  ")[0] == "alpha"
    assert [[cell.strip() for cell in line.split("  ") if cell] for line in lines] == [
        ["5%", "4.1%", "3.0% to 5.3%", "25.0%", "20.0%", "0.610", "0.500"],
        ["2.5%", "-", "-", "0.0%", "0.0%", "-", "0.500"],
    ]


def test_alphas_without_a_threshold_are_explained() -> None:
    assert uncalibrated_text([0.3], [0.05]) == ""
    assert uncalibrated_text([None, None, 0.3], [0.01, 0.025, 0.05]).startswith("At 1%, 2.5% nothing is dropped: ")


def test_the_command_prints_a_table_and_json_as_its_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = probe_with_scores(tmp_path, json.dumps(SCORES))
    assert main(["study", "false-drop", "--probe", str(probe), "--alphas", "0.1,0.2", "--json"]) == 0
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert text.startswith(
        "3 samples of 2 captions that pictogram@2 was neither trained nor calibrated on, at step 5 of 25; 66.7% are good"
    )
    figures = json.loads(last)
    assert [list(row) for row in figures["rows"]] == [["probe", "step", "confidence", *FIELDS]] * 2
    assert [[row["alpha"], row["false_drop"], row["drop_rate"]] for row in figures["rows"]] == [
        [0.1, 0, 0.3333],
        [0.2, 0, 0.3333],
    ]
    assert [row["confidence"] for row in figures["rows"]] == [0.95, 0.95]
    assert (figures["captions"], figures["samples"], figures["good_share"]) == (2, 3, 0.6667)
    assert (figures["rows"][0]["probe"], figures["rows"][0]["step"]) == ("pictogram@2", 5)


def test_one_caption_is_singular(tmp_path: Path) -> None:
    one = {"captions": ["a"], "good_at": 1, "steps": {"5": {"scores": [[1, 2]]}}, "quality": [[0.5, 1]]}
    text, _ = study_false_drop(probe_with_scores(tmp_path, json.dumps(one)), [5], [0.2])
    assert text.startswith("2 samples of 1 caption that pictogram@2 ")
    assert "step 5 of 25; 50.0%" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "10"], "--steps 10: test-scores.json holds the steps 5"),
        (["--steps", "7"], "--steps 7: the probe is calibrated at the steps 1, 3, 5, 10, 15"),
        (["--alphas", "0.1,1"], "--alphas 0.1,1: expected numbers between 0 and 1"),
        (["--alphas", "0.1,,0.2"], "--alphas 0.1,,0.2: expected numbers between 0 and 1"),
        (["--confidence", "1"], "--confidence 1: expected a number from 0.5 to 0.9999, or none"),
        (["--probe", "nowhere"], "no probe.json in nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    probe = probe_with_scores(tmp_path, json.dumps(SCORES))
    assert main(["study", "false-drop", "--probe", str(probe), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"diffusion-probe: {message}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(("content", "message"), [("{}", "test-scores.json is not valid"), (None, "cannot be read")])
def test_scores_that_cannot_be_read_are_one_sentence(content: str | None, message: str, tmp_path: Path, capsys) -> None:
    probe = probe_with_scores(tmp_path, content or "")
    if content is None:
        (probe / "test-scores.json").unlink()
    assert main(["study", "false-drop", "--probe", str(probe)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--color"], ["5"], ["--steps", "x"]])
def test_unknown_arguments_are_refused(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["study", "false-drop", *arguments])
    assert stop.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_alphas_and_confidences_are_parsed() -> None:
    assert parse_alphas("0.03, 0.3") == [0.03, 0.3]
    assert [parse_confidence(text) for text in ("none", "0.9")] == [None, 0.9]


def test_the_study_needs_numpy_alone() -> None:
    code = "import sys, diffusion_probe.evaluation.studies.false_drop; print([n for n in sys.modules if '.' not in n])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "python", capture_output=True, text=True, check=True).stdout
    assert not {"scipy", "sklearn", "torch", "onnxruntime", "safetensors"} & set(json.loads(loaded.replace("'", '"')))


def test_the_committed_result_is_not_stale() -> None:
    """Otherwise: `python -m diffusion_probe study false-drop --steps 5,10 --json | tail -n 1 > docs/false-drop.json`."""
    _, figures = study_false_drop(SHIPPED, [5, 10], parse_alphas("0.01,0.02,0.05,0.1,0.2"))
    assert json.loads((ROOT / "docs" / "false-drop.json").read_text()) == figures
