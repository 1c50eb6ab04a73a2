"""The study of a probe under other conditions: shifted scores cost no rank, and a new calibration brings the rest back."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.evaluation.transfer import transfer_figures
from diffusion_probe.probe.manifest import to_json

PROMPTS, SEEDS, GOOD_AT, ALPHA = 120, 8, 0.6, 0.1
RNG = np.random.default_rng(1)
QUALITY = np.clip(RNG.normal(0.5, 0.2, (PROMPTS, 1)) + RNG.normal(0, 0.15, (PROMPTS, SEEDS)), 0, 1)
SCORES = QUALITY + RNG.normal(0, 0.1, QUALITY.shape)
ENTRY = calibration_at(5, SCORES, QUALITY, GOOD_AT)


def figures(scores: np.ndarray, feedbacks: tuple[int, ...] = (400,)) -> dict:
    return transfer_figures(scores, QUALITY, ENTRY, GOOD_AT, ALPHA, feedbacks, draws=10)


def test_a_shift_of_the_scores_costs_no_rank_and_a_new_calibration_repairs_the_rest() -> None:
    same, shifted = figures(SCORES), figures(SCORES - 0.3)
    for name in ("srcc", "srcc_within", "gap_closed"):
        assert shifted[name] == pytest.approx(same[name], abs=1e-3)
        assert same[f"{name}_low"] < same[name] < same[f"{name}_high"]
    own, new = shifted["calibrations"]["own"], shifted["calibrations"]["400"]
    assert own["false_drop"] > 0.5 > ALPHA >= new["false_drop"] > 0
    assert new["calibration_error"] < 0.1 < own["calibration_error"]
    assert new["calibrated"] == 1
    assert same["calibrations"]["own"]["false_drop"] <= ALPHA


def test_noise_costs_ranks_that_no_calibration_brings_back() -> None:
    noisy = figures(SCORES + np.random.default_rng(2).normal(0, 0.3, SCORES.shape))
    assert noisy["srcc_within"] < figures(SCORES)["srcc_within"] - 0.2
    assert noisy["calibrations"]["400"]["drop_rate"] < figures(SCORES)["calibrations"]["400"]["drop_rate"]


def test_too_few_feedbacks_have_no_threshold_and_too_many_no_figures() -> None:
    calibrations = figures(SCORES, (16, 10_000))["calibrations"]
    assert (calibrations["16"]["calibrated"], calibrations["16"]["drop_rate"]) == (0, 0)
    assert calibrations["10000"] is None


def test_the_command_compares_data_sets(world, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in world.data.iterdir():
        if path.name != "dataset.json" and path.is_file():
            (other / path.name).symlink_to(path)
    description = json.loads((world.data / "dataset.json").read_text())
    description["conditions"]["guidance"]["classifier_free"] = 6
    (other / "dataset.json").write_text(to_json(description))
    command = ["study", "transfer", str(world.data), str(other), "--folder", str(world.folder)]
    assert main([*command, "--feedbacks", "40", "--json"]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(printed.splitlines()[-1])["rows"]
    assert [row["differs"] for row in rows] == [[], ["guidance.classifier_free"]]
    assert [(row["step"], row["prompts"], row["srcc_lost"], row["gap_closed_lost"]) for row in rows] == [(5, 12, 0, 0)] * 2
    assert "differs in guidance.classifier_free" in printed
    assert "differs in nothing" in printed
    assert main([*command, "--step", "4"]) == 2
    assert "the decision points are 1, 3, 5, 10, 15" in capsys.readouterr().err
    description["capture"]["heads"] = "maximum"
    (other / "dataset.json").write_text(to_json(description))
    assert main(command) == 2
    assert "another capture" in capsys.readouterr().err
