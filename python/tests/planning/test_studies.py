"""The study `plans`, of probes and of reward matrices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.planning.matrices import matrix_rows
from diffusion_probe.planning.study import calls_of_best_of, gap_share, study_plans

from .synthetic import random_runs, write_probe

PACKAGE = Path(__file__).parents[2]


def test_a_row_per_budget_compares_at_equal_calls(tmp_path: Path, capsys) -> None:
    folder = write_probe(tmp_path)
    assert main(["study", "plans", "--probe", str(folder), "--json"]) == 0
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    rows = json.loads(last)["rows"]
    assert [(row["probe"], row["budget"], row["calls"]) for row in rows] == [("made-up@4", n, 10 * n) for n in (2, 3, 4)]
    for row in rows:
        assert row["best_of_k"] < row["plan"] <= row["oracle"] <= 1
        assert row["one_stage"] <= row["plan"] + 0.05
        assert row["equal_quality_ratio"] > 1
        assert row["text"] in text


def test_probes_without_trajectories_are_named(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_probe(Path("models/bare/1"), trajectories_too=False)
    assert main(["study", "plans"]) == 2
    assert "no probe in models has trajectories (made-up@4)" in capsys.readouterr().err
    write_probe(Path("models/whole/1"))
    assert main(["study", "plans"]) == 0
    assert "Without trajectories, left out: made-up@4." in capsys.readouterr().out


def test_a_probe_without_test_scores_is_named(tmp_path: Path) -> None:
    folder = write_probe(tmp_path)
    (folder / "test-scores.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"test-scores\.json does not exist"):
        study_plans([folder])


def test_shares_and_calls_of_plain_best_of_k_are_those_of_its_definition() -> None:
    runs = random_runs(60, 8, 0.5)
    assert gap_share(runs, float(runs.quality.mean())) == pytest.approx(0)
    assert gap_share(runs, float(runs.quality.max(axis=1).mean())) == pytest.approx(1)
    assert calls_of_best_of(runs, float(runs.quality.mean())) == pytest.approx(10)
    assert calls_of_best_of(runs, float(runs.quality.max(axis=1).mean())) == pytest.approx(80)


def test_matrices_are_judged_on_prompts_that_did_not_choose(tmp_path: Path, capsys) -> None:
    file = tmp_path / "made_up.npz"
    runs = random_runs(30, 12, 0.3, points=tuple(range(1, 10)))
    early = np.moveaxis(runs.scores, -1, 0)
    base = np.concatenate([early, runs.quality[None]])
    np.savez(file, base=base, base_steps=np.arange(1, 11), naft=early, naft_steps=np.arange(1, 10))
    rows = matrix_rows(file, "naft")
    assert [row["budget"] for row in rows] == [2, 3, 5]
    assert all(row["difference"] > 0 for row in rows)
    assert main(["study", "plans", "--matrices", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out.rstrip().rpartition("\n")[2])["rows"]) == 6


def test_matrices_that_cannot_be_read_are_one_sentence(tmp_path: Path, capsys) -> None:
    assert main(["study", "plans", "--matrices", str(tmp_path)]) == 2
    np.savez(tmp_path / "empty.npz", other=np.zeros(3))
    assert main(["study", "plans", "--matrices", str(tmp_path)]) == 2
    assert "expected the arrays base, naft and naft_steps" in capsys.readouterr().err


def test_the_study_needs_numpy_alone() -> None:
    code = "import sys, diffusion_probe.planning.study, diffusion_probe.planning.command; print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE, capture_output=True, text=True, check=True).stdout
    assert not {"scipy", "sklearn", "torch", "onnxruntime", "safetensors", "tqdm"} & set(json.loads(loaded.replace("'", '"')))
