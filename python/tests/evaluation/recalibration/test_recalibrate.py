"""Recalibration from feedback: what is promised, what the new version holds, and what is said of few feedbacks."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from diffusion_probe.cli import main
from diffusion_probe.evaluation.calibrate import CalibrationSamples, calibration_at, calibration_entry
from diffusion_probe.evaluation.confidence import effective_count, false_drop_curve
from diffusion_probe.evaluation.conformal import threshold_of
from diffusion_probe.evaluation.recalibration.comparison import calibration_error, judge
from diffusion_probe.evaluation.recalibration.recalibrate import recalibrate
from diffusion_probe.fingerprint import fingerprint
from diffusion_probe.probe.manifest import read_manifest, sha256_of

from .made_up import GOOD_AT, STEP, lines_of, traffic, write_lines, write_probe

ALPHA = 0.1
RATE = 0.1  # of exploration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A probe that was calibrated under other conditions: its scores were higher by 0.3."""
    return write_probe(tmp_path / "models" / "tiny" / "1", *traffic(np.random.default_rng(1), 200, shift=0.3))


def explored(rng: np.random.Generator, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which samples a policy with exploration finishes, and the weights of these."""
    dropped = scores < threshold
    return ~dropped | (rng.random(scores.shape) < RATE), np.where(dropped, 1 / RATE, 1.0)


def flat(scores: np.ndarray, quality: np.ndarray, finished: np.ndarray, weight: np.ndarray) -> CalibrationSamples:
    return CalibrationSamples(np.nonzero(finished)[0], scores[finished], quality[finished], weight[finished])


def test_weighted_feedback_of_dropping_traffic_estimates_what_all_samples_would() -> None:
    rng = np.random.default_rng(2)
    scores, quality = traffic(rng, 20_000)
    finished, weight = explored(rng, scores, 0.5)
    every = calibration_at(STEP, scores, quality, GOOD_AT)
    some = calibration_entry(STEP, flat(scores, quality, finished, weight), GOOD_AT)
    kept_alone = calibration_entry(STEP, flat(scores, quality, finished, np.ones(scores.shape)), GOOD_AT)
    assert threshold_of(some, ALPHA) == pytest.approx(threshold_of(every, ALPHA), abs=0.02)
    assert threshold_of(kept_alone, ALPHA) > threshold_of(every, ALPHA) + 0.03
    assert some["scores"][100] == pytest.approx(every["scores"][100], abs=0.02)
    at = np.interp(0.45, some["p_good"]["score"], some["p_good"]["probability"])
    assert at == pytest.approx(np.interp(0.45, every["p_good"]["score"], every["p_good"]["probability"]), abs=0.05)
    assert some["good_scores"] == sorted(some["good_scores"])
    assert np.median(some["good_scores"]) == pytest.approx(np.median(every["good_scores"]), abs=0.02)
    assert len(some["good_scores"]) < len(every["good_scores"]) / 5


def test_thresholds_from_weighted_feedback_exceed_alpha_rarely() -> None:
    rng = np.random.default_rng(3)
    truth = np.sort((lambda scores, quality: scores[quality >= GOOD_AT])(*traffic(rng, 100_000)))
    exceeding, with_threshold, trials = 0, 0, 150
    for _ in range(trials):
        scores, quality = traffic(rng, 400)
        entry = calibration_entry(STEP, flat(scores, quality, *explored(rng, scores, 0.55)), GOOD_AT)
        threshold = threshold_of(entry, ALPHA)
        with_threshold += threshold is not None
        exceeding += threshold is not None and np.searchsorted(truth, threshold) / len(truth) > ALPHA
    assert with_threshold > trials / 2
    assert exceeding / trials < 0.08  # 0.05, and two standard errors


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(4)
    scores, quality = traffic(rng, 60)
    good = quality >= GOOD_AT
    plain = false_drop_curve(scores[good], np.nonzero(good)[0])
    weighted = false_drop_curve(scores[good], np.nonzero(good)[0], np.full(good.sum(), 7.0))
    assert weighted.captions == plain.captions
    assert weighted.rate == pytest.approx(plain.rate)
    assert weighted.error == pytest.approx(plain.error)
    assert effective_count(np.array([1.0, 1.0, 8.0, 8.0])) == pytest.approx(18 / 8)


def test_the_calibration_error_of_known_probabilities() -> None:
    rng = np.random.default_rng(5)
    probability = rng.random(50_000)
    good = rng.random(len(probability)) < probability
    ones = np.ones(len(good))
    assert calibration_error(probability, good, ones) < 0.01
    assert calibration_error(np.clip(probability + 0.2, 0, 1), good, ones) == pytest.approx(0.18, abs=0.01)
    half = np.where(good, 2.0, 1.0)  # twice as many good samples as there were
    assert calibration_error(probability, good, half) > 0.05


def test_a_new_version_is_written_beside_the_old_one_and_both_are_judged(folder: Path, tmp_path: Path, capsys) -> None:
    path = write_lines(tmp_path / "feedback.jsonl", lines_of(*traffic(np.random.default_rng(6), 300)))
    (tmp_path / "dataset.json").write_text(json.dumps({"conditions": {"dtype": "bfloat16"}}))
    (folder.parent / "4").mkdir()
    more = ["--folder", str(folder), "--alpha", str(ALPHA), "--conditions", str(tmp_path / "dataset.json"), "--json"]
    assert main(["recalibrate", str(path), *more]) == 0
    text, last = capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)
    figures = json.loads(last)
    old, new = (figures["steps"]["5"][which] for which in ("old", "new"))
    assert old["false_drop"] > 0.3
    assert new["false_drop"] < ALPHA
    assert new["interval"][0] < new["false_drop"] < new["interval"][1]
    assert new["threshold"] < old["threshold"]
    assert new["calibration_error"] < 0.06 < old["calibration_error"]
    assert "1200 receipts of 300 prompts on tiny@1" in text
    assert "No feedback at step 10" in text

    before, after = read_manifest(folder), read_manifest(folder.parent / "5")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1", "4", "5"]
    assert after["version"] == 5
    assert after["conditions"] == {"dtype": "bfloat16"}
    assert after["conditions_id"] == fingerprint(after["conditions"])
    assert [entry["step"] for entry in after["calibration"]] == [STEP]
    assert threshold_of(after["calibration"][0], ALPHA) == new["threshold"]
    assert after["evaluation"]["recalibrated"] == {"from_version": 1, "receipts": 1200, "captions": 300}
    assert after["files"]["model.onnx"] == before["files"]["model.onnx"]
    assert after["files"] == {name: sha256_of(folder.parent / "5" / name) for name in after["files"]}
    with safe_open(folder.parent / "5" / "selftest.safetensors", framework="np") as file:
        assert file.metadata() == {"model": "tiny@5", "step": "5", "conditions_id": after["conditions_id"]}


def test_few_feedbacks_promise_nothing_and_say_so(folder: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "feedback.jsonl", lines_of(*traffic(np.random.default_rng(7), 9)))
    text, figures = recalibrate(folder, [path], 0.05)
    new = figures["steps"]["5"]["new"]
    assert new == {"threshold": None, "false_drop": None, "interval": None, "drop_rate": None, "calibration_error": None}
    assert "too few good images for alpha 0.05" in text
    assert "uncalibrated" in text
    assert "with fewer than 20 prompts" in text
    entry = read_manifest(folder.parent / "2")["calibration"][0]
    assert threshold_of(entry, 0.05) is None


def test_one_feedback_and_none_that_is_good(folder: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "feedback.jsonl", lines_of(np.array([[0.3]]), np.array([[0.1]])))
    _, figures = recalibrate(folder, [path], 0.05)
    assert figures["steps"]["5"]["old"]["false_drop"] is None
    entry = read_manifest(folder.parent / "2")["calibration"][0]
    assert (entry["good_scores"], entry["false_drop"], entry["p_good"]["probability"]) == ([], None, [0.0])
    assert len(entry["scores"]) > 1


def test_the_new_calibration_is_judged_on_prompts_that_it_was_not_made_from() -> None:
    """Where scores say nothing and each prompt is all good or all bad, a fit to the same prompts would look calibrated."""
    rng = np.random.default_rng(8)
    quality = np.repeat(rng.integers(0, 2, (40, 1)), 8, axis=1).astype(float)
    scores = np.repeat(rng.random((40, 1)), 8, axis=1)
    samples = flat(scores, quality, np.ones(scores.shape, bool), np.ones(scores.shape))
    manifest = {"metric": {"good_at": GOOD_AT}, "calibration": [calibration_at(STEP, scores, quality, GOOD_AT)]}
    old, new = judge(STEP, samples, manifest, ALPHA)
    assert old.calibration_error < 0.05
    assert new.calibration_error > 2 * old.calibration_error


def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path, capsys) -> None:
    path = write_lines(tmp_path / "feedback.jsonl", lines_of(*traffic(np.random.default_rng(9), 50)))
    assert main(["recalibrate", str(path), "--folder", str(folder), "--dry-run"]) == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert [entry.name for entry in folder.parent.iterdir()] == ["1"]


def test_receipts_without_groups_are_named(folder: Path, tmp_path: Path) -> None:
    lines = [{**entry, "group": None} for entry in lines_of(*traffic(np.random.default_rng(10), 30))]
    text, figures = recalibrate(folder, [write_lines(tmp_path / "feedback.jsonl", lines)], ALPHA, write=False)
    assert figures["captions"] == 120
    assert "120 receipts name no group" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alpha", "1"], "--alpha 1: expected a number between 0 and 1"),
        (["--folder", "nowhere"], "no probe.json in nowhere"),
        (["--conditions", "feedback.jsonl"], "feedback.jsonl states no conditions"),
    ],
)
def test_a_mistake_is_one_sentence(options, message, folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "feedback.jsonl", lines_of(*traffic(np.random.default_rng(11), 5)))
    assert main(["recalibrate", "feedback.jsonl", "--folder", str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [entry.name for entry in folder.parent.iterdir()] == ["1"]
