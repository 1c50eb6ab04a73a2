"""The study `false-drop --resample`: its vectorised thresholds are the real ones, and its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.evaluation.confidence import false_drop_curve, upper_bound
from diffusion_probe.evaluation.studies import resampling
from diffusion_probe.evaluation.trajectories import TRAJECTORIES, write_trajectories

CAPTIONS, SEEDS = 150, 6


def write_pool(folder: Path, known: bool = True) -> Path:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(CAPTIONS, 1)) + rng.normal(size=(CAPTIONS, SEEDS))
    quality[0, 0] = np.nan
    scores = np.nan_to_num(quality) + 0.5 * rng.normal(size=quality.shape)
    manifest = {
        "schema_version": 2,
        "name": "made-up",
        "version": 4,
        "metric": {"name": "made up", "range": [-5, 5], "good_at": 0.0 if known else 99.0},
        "trajectories": TRAJECTORIES,
    }
    (folder / "probe.json").write_text(json.dumps(manifest))
    write_trajectories(folder, {3: scores, 5: scores + 0.1}, quality)
    return folder


def test_bounds_of_resampled_captions_are_those_of_the_captions_themselves() -> None:
    rng = np.random.default_rng(1)
    good = rng.integers(0, 4, CAPTIONS)
    caption = np.repeat(np.arange(CAPTIONS), good)
    scores = rng.normal(size=len(caption))
    thresholds = np.sort(scores)[:60]
    lost = np.stack([np.bincount(caption, weights=scores < t, minlength=CAPTIONS) for t in thresholds], axis=1)
    draws = rng.integers(CAPTIONS, size=(3, CAPTIONS))
    bounds = resampling._bounds(draws, lost, good, 0.95)
    for own, bound in zip(draws, bounds, strict=True):
        rows = [np.flatnonzero(caption == one) for one in own]
        again = np.repeat(np.arange(CAPTIONS), [len(row) for row in rows])
        drawn = scores[np.concatenate(rows)]
        curve = false_drop_curve(drawn, again)
        expected = dict(zip(curve.score, upper_bound(curve, 0.95), strict=True))
        shared = [place for place, t in enumerate(thresholds) if t in expected]
        assert len(shared) > 10
        assert bound[shared] == pytest.approx([expected[thresholds[place]] for place in shared])


def test_the_command_prints_a_row_per_step_and_alpha(tmp_path: Path, capsys) -> None:
    folder = write_pool(tmp_path)
    assert main(["study", "false-drop", "--probe", str(folder), "--resample", "300", "--json"]) == 0
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert text.startswith("Over 300 calibrations")
    rows = json.loads(last)["rows"]
    assert [(row["step"], row["alpha"]) for row in rows] == [(s, a) for s in (3, 5) for a in (0.01, 0.02, 0.05, 0.1)]
    for row in rows:
        assert (row["probe"], row["confidence"]) == ("made-up@4", 0.95)
        assert row["exceed_share"] <= 0.1
        assert row["alpha"] < 0.05 or row["drop_rate"] <= row["drop_rate_marginal"]
    assert rows[3]["exceed_share_marginal"] > 0.2
    assert rows[3]["drop_rate"] > 0.5 * rows[3]["drop_rate_marginal"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resample", "0"], "--resample: expected a number of calibrations from 1"),
        (["--resample", "10", "--confidence", "none"], "--resample: expected"),
        (["--resample", "10", "--confidence", "2"], "--confidence 2: expected a number from 0.5 to 0.9999, or none"),
        (["--resample", "10", "--steps", "4"], "--steps 4: the trajectories hold the steps 3, 5"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert main(["study", "false-drop", "--probe", str(write_pool(tmp_path)), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffusion-probe: {message}")
    assert error.count("\n") == 1


def test_a_pool_without_good_samples_is_named(tmp_path: Path, capsys) -> None:
    assert main(["study", "false-drop", "--probe", str(write_pool(tmp_path, known=False)), "--resample", "10"]) == 2
    assert "made-up@4 has no good sample" in capsys.readouterr().err
