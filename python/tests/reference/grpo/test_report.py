"""Curves of trainings and their comparison; the commands, on the tiny world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffusion_probe.cli import main
from diffusion_probe.reference.grpo.report import Curve, compare


def log(folder: Path, arm: str, seed: int, calls: list[int], rewards: list[float], oracle: bool = False) -> Path:
    path = folder / f"{arm}-{seed}-{oracle}.log.jsonl"
    rows = zip(calls, rewards, strict=True)
    entries = ({"arm": arm, "oracle": oracle, "seed": seed, "calls": c, "reward": r} for c, r in rows)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_an_arm_that_needs_half_of_the_calls_has_the_ratio_two(tmp_path: Path) -> None:
    whole = log(tmp_path, "full", 0, [0, 100, 200], [0.4, 0.5, 0.6])
    ours = log(tmp_path, "tails", 0, [0, 50, 100, 150], [0.4, 0.5, 0.6, 0.7])
    never = log(tmp_path, "random", 0, [0, 100, 200], [0.4, 0.45, 0.5])
    report = compare([Curve.read(path) for path in (whole, ours, never)])
    assert report["tails"]["calls_ratio_at_equal_reward"] == {"0": 2.0}
    assert report["tails"]["reward_difference_at_equal_calls"] == {"0": 0.15}
    assert report["random"]["calls_ratio_at_equal_reward"] == {"0": None}
    assert report["random"]["reward_difference_at_equal_calls"] == {"0": -0.1}
    assert set(report["full"]) == {"seeds", "final_reward"}
    falls = log(tmp_path, "full", 1, [0, 100, 200], [0.6, 0.5, 0.4])
    report = compare([Curve.read(path) for path in (falls, log(tmp_path, "tails", 1, [0, 50], [0.6, 0.6]))])
    assert report["tails"]["calls_ratio_at_equal_reward"] == {"1": None}, "nothing to reach"
    assert report["full"]["final_reward"] == {"1": 0.4}, "a fall is not hidden"


def test_a_lucky_judgement_does_not_count_as_reached(tmp_path: Path) -> None:
    curve = Curve.read(log(tmp_path, "full", 0, [0, 100, 200, 300], [0.4, 0.6, 0.4, 0.5]))
    assert curve.rising.tolist() == pytest.approx([0.4, 0.5, 0.5, 0.5])
    assert curve.calls_to(0.45) == pytest.approx(50)
    assert curve.calls_to(0.4) == 0


def test_two_logs_of_one_training_and_other_files_are_refused(tmp_path: Path) -> None:
    one = Curve.read(log(tmp_path, "full", 0, [0, 1], [0.1, 0.2]))
    with pytest.raises(ValueError, match="two logs of the arm full with the seed 0"):
        compare([one, one])
    other = tmp_path / "other.jsonl"
    other.write_text('{"step": 3}\n')
    with pytest.raises(ValueError, match="is no log of reference grpo"):
        Curve.read(other)
    with pytest.raises(ValueError, match="has 1 judgement"):
        Curve.read(log(tmp_path, "top", 0, [0], [0.1]))


def test_the_commands(world, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--iterations", "1", "--prompts", "2", "--group", "4", "--captions", "2", "--judge-seeds", "2", "--judge-every", "1"]
    common = ["reference", "grpo", *world.source, "--probe", str(world.folder), *small]
    logs = []
    for arm in ("full", "tails"):
        checkpoint = tmp_path / f"{arm}.pt"
        assert main([*common, "--arm", arm, "--checkpoint", str(checkpoint), "--second-reward", str(world.reward)]) == 0
        logs.append(checkpoint.with_suffix(".log.jsonl"))
    printed = capsys.readouterr().out
    assert "tails: 1 iterations of 8 samples, about" in printed
    entry = json.loads(logs[1].read_text().splitlines()[-1])
    assert {"reward", "second_reward", "right", "kept", "effective", "divergence"} <= entry.keys()
    assert entry["second_reward"] == pytest.approx(entry["reward"], abs=0.02), "here it is the same reward, by another way"
    assert (tmp_path / "tails.1.png").exists()
    report = tmp_path / "curves.png"
    assert main(["reference", "grpo-report", *map(str, logs), "--out", str(report)]) == 0
    assert report.exists()
    assert set(json.loads(report.with_suffix(".json").read_text())) == {"full", "tails"}


def test_a_step_at_which_the_probe_cannot_score_is_named(world, capsys: pytest.CaptureFixture[str]) -> None:
    step = ["--decision-step", "2", "--dry-run"]
    assert main(["reference", "grpo", *world.source, "--probe", str(world.folder), *step]) == 2
    assert "step 2 of 25 has the timestep 941.5: the probe scores at 1000" in capsys.readouterr().err
