"""The calibration entry of a decision point."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.data.shards import read_split
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.evaluation.confidence import false_drop_curve
from diffusion_probe.evaluation.trajectories import read_trajectories
from diffusion_probe.probe.manifest import read_manifest


def test_the_false_drop_curve_is_that_of_all_good_samples_of_known_quality() -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(80, 6))
    scores = quality + rng.normal(size=quality.shape)
    quality[3, 2] = np.nan
    entry = calibration_at(5, scores, quality, 0.5)
    prompt, seed = np.nonzero(quality >= 0.5)
    expected = false_drop_curve(scores[prompt, seed], prompt)
    assert entry["false_drop"]["captions"] == len(np.unique(prompt))
    for name in ("score", "rate", "error"):
        assert entry["false_drop"][name] == pytest.approx(getattr(expected, name), rel=1e-5)
    assert len(entry["good_scores"]) < len(prompt)


def test_without_two_captions_that_have_a_good_sample_there_is_no_curve() -> None:
    quality = np.array([[0.9, 0.8], [0.1, 0.2]])
    assert calibration_at(5, quality, quality, 0.5)["false_drop"] is None


def test_prompts_may_have_more_seeds_than_others() -> None:
    nan = np.nan
    quality = np.array([[0.9, 0.9, 0.9, 0.9], [0.1, 0.2, nan, nan], [0.9, 0.8, nan, nan], [0.9, 0.1, 0.1, 0.8]])
    scores = np.where(np.arange(4) < [[4], [2], [2], [4]], np.arange(16).reshape(4, 4) / 16, nan)
    entry = calibration_at(5, scores, quality, 0.5)
    assert (entry["captions"], entry["samples"]) == (4, 12)
    # One sample per prompt: the seeds 0, 1, 0 and 3.
    assert entry["good_scores"] == [scores[0, 0], scores[2, 0], scores[3, 3]]
    assert entry["scores"][-1] == scores[3, 3]
    assert entry["false_drop"]["captions"] == 3


def test_calibrate_uses_every_seed_that_was_collected(world, tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "probe"
    shutil.copytree(world.folder, folder)
    counts = ["--train", "0", "--calibration", "6", "--test", "0", "--calibration-more", "2", "--seeds", "2"]
    assert main(["collect", "--data", str(data), *counts, "--batch", "8", "--no-compile", *world.source]) == 0
    assert main(["calibrate", "--data", str(data), "--folder", str(folder)]) == 0
    calibration, more = read_split(data, "calibration"), read_split(data, "calibration_more")
    written = np.load(folder / "trajectories.npz")
    items = list(zip(written["prompt"].tolist(), written["seed"].tolist(), strict=True))
    assert items == [(prompt, seed) for prompt in range(6) for seed in range(4 if prompt < 2 else 2)]
    expected = {(prompt, seed): calibration.quality[prompt, seed] for prompt in range(6) for seed in range(2)}
    expected |= {(prompt, 2 + seed): more.quality[prompt, seed] for prompt in range(2) for seed in range(2)}
    assert written["quality"].tolist() == pytest.approx([expected[item] for item in items], abs=1e-3)
    manifest = read_manifest(folder)
    assert [entry["samples"] for entry in manifest["calibration"]] == [16] * len(manifest["decision_points"])
    samples = read_trajectories(folder, manifest)
    assert np.bincount(samples.caption).tolist() == [4, 4, 2, 2, 2, 2]


def test_more_seeds_of_other_prompts_are_refused(world, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "probe"
    shutil.copytree(world.folder, folder)
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(world.data / "dataset.json", data)
    for path in world.data.glob("calibration-*"):
        shutil.copy(path, data)
    shutil.copy(world.data / "train-00000.safetensors", data / "calibration_more-00000.safetensors")
    assert main(["calibrate", "--data", str(data), "--folder", str(folder)]) == 2
    assert "are not the first ones of calibration" in capsys.readouterr().err
