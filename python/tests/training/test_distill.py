"""A student learns from its teachers' scores, resumes, and is compared with students of other sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import read_split, shard_path, write_shard
from diffusion_probe.data.source import Samples
from diffusion_probe.probe.manifest import Capture, DecisionPoint, Metric
from diffusion_probe.training.checkpoint import load_checkpoint, load_probe
from diffusion_probe.training.distill import DistillSettings, distill, read_distill_data
from diffusion_probe.training.settings import TrainSettings
from diffusion_probe.training.teachers import load_teacher, teacher_scores
from diffusion_probe.training.train_probe import train_probe

PROMPTS, SEEDS, TOKENS, GRID = 20, 4, 3, 8
POINTS = (DecisionPoint(1, 900.0), DecisionPoint(12, 400.0))


def samples(seed: int, prompts: int, seeds: int, points: int, known: bool) -> Samples:
    """Noise, brighter where the quality is higher."""
    rng = np.random.default_rng(seed)
    count = prompts * seeds
    quality = rng.random(count).astype(np.float32)
    attention = rng.random((count, points, 2, TOKENS, GRID, GRID)) * quality[:, None, None, None, None, None] / TOKENS
    if not known:
        quality[:] = np.nan
    return Samples(attention.astype(np.float16), np.ones((count, TOKENS), np.uint8), quality)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with an unlabelled split, which has the first decision point alone."""
    folder = tmp_path / "data"
    capture = Capture("made up", ("one", "two"), GRID, GRID, "mean", "all", "area")
    seeds = {"train": SEEDS, "unlabelled": 2}
    Description("made up", capture, {"dtype": "float32"}, 20, Metric("chance", (0.0, 1.0), None), POINTS, seeds).write(folder)
    write_shard(shard_path(folder, "train", 0), samples(0, PROMPTS, SEEDS, 2, True), [f"prompt {i}" for i in range(PROMPTS)])
    write_shard(shard_path(folder, "unlabelled", 0), samples(1, 10, 2, 1, False), [f"other {i}" for i in range(10)])
    return folder


@pytest.fixture
def teacher(data: Path, tmp_path: Path) -> Path:
    train_probe(data, tmp_path / "teacher.pt", TrainSettings(steps=2, width=8))
    return tmp_path / "teacher.pt"


def command(data: Path, teacher: Path, checkpoint: Path, *arguments: str, steps: int = 3) -> list[str]:
    paths = ["--data", str(data), "--teachers", str(teacher), "--checkpoint", str(checkpoint), "--device", "cpu"]
    return ["distill", *paths, "--training-steps", str(steps), "--width", "8", *arguments]


def test_a_student_resumes_and_refuses_other_teachers(data: Path, teacher: Path, tmp_path: Path, capsys) -> None:
    student = tmp_path / "student.pt"
    assert main(command(data, teacher, student)) == 0
    saved = load_checkpoint(student)
    assert saved["config"]["network"] == "lean"
    written = student.read_bytes()
    assert main(command(data, teacher, student)) == 0
    assert student.read_bytes() == written
    train_probe(data, tmp_path / "other.pt", TrainSettings(steps=2, width=8, seed=5))
    assert main(command(data, tmp_path / "other.pt", student)) == 2
    assert "of another training: teachers (now" in capsys.readouterr().err
    assert main(command(data, teacher, student, "--teacher-weight", "0.5")) == 2
    assert "teacher_weight (now 0.5, before 1.0)" in capsys.readouterr().err


def test_scores_are_computed_once_and_averaged_over_teachers(data: Path, teacher: Path, tmp_path: Path) -> None:
    train_probe(data, tmp_path / "other.pt", TrainSettings(steps=2, width=8, seed=5))
    teachers = [load_teacher(path) for path in (teacher, tmp_path / "other.pt")]
    cache = tmp_path / "cache"
    scores = teacher_scores(teachers, data, "train", cache)
    assert scores.shape == (PROMPTS * SEEDS, 2)
    one, other = (teacher_scores([each], data, "train", cache) for each in teachers)
    assert scores == pytest.approx((one + other) / 2, abs=1e-6)
    stamps = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(stamps) == 4
    assert np.array_equal(teacher_scores(teachers, data, "train", cache), scores)
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == stamps
    assert teacher_scores(teachers, data, "unlabelled", cache).shape == (20, 1)


def test_an_exported_folder_can_teach(world, tmp_path: Path) -> None:
    from_folder = teacher_scores([load_teacher(world.folder)], world.data, "train", tmp_path / "one")
    from_checkpoint = teacher_scores([load_teacher(world.checkpoint)], world.data, "train", tmp_path / "two")
    assert from_folder == pytest.approx(from_checkpoint, abs=1e-4)


def test_a_student_agrees_more_with_its_teacher_than_a_probe_without_one(data: Path, teacher: Path, tmp_path: Path) -> None:
    settings = DistillSettings(steps=60, width=8, teacher_weight=20.0)
    taught = distill(read_distill_data(data, [teacher], settings, tmp_path / "cache"), tmp_path / "student.pt", settings)
    alone = train_probe(data, tmp_path / "alone.pt", TrainSettings(steps=60, width=8, network="lean"))
    unlabelled = read_split(data, "unlabelled")
    inputs = {
        "attention": np.asarray(unlabelled.arrays["attention"])[:, 0],
        "token_mask": unlabelled.arrays["token_mask"],
        "timestep": np.full(20, 900.0, np.float32),
    }
    target = load_probe(teacher)[0].score(inputs)
    errors = [float(np.square(network.score(inputs) - target).mean()) for network in (taught, alone)]
    assert errors[0] < errors[1]


def test_labelled_prompts_alone_are_enough(data: Path, teacher: Path, tmp_path: Path) -> None:
    (data / "unlabelled-00000.safetensors").unlink()
    assert main(command(data, teacher, tmp_path / "student.pt")) == 0


def test_three_sizes_give_a_curve(data: Path, teacher: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("diffusion_probe.training.size_curve.ROUNDS", 4)
    assert main(command(data, teacher, tmp_path / "student.pt", "--sizes", "4,8,12")) == 0
    table = capsys.readouterr().out
    rows = json.loads((tmp_path / "student.sizes.json").read_text())
    assert [row["size"] for row in rows] == ["width 4", "width 8", "width 12"]
    assert set(rows[0]["times"]) == {f"{tokens}_tokens_{threads}_threads" for tokens in (13, 77) for threads in (1, 2)}
    assert all(value > 0 for row in rows for value in row["times"].values())
    assert "srcc@12" in rows[0]["figures"]
    assert "| width 12 |" in table
    assert (tmp_path / "student.sizes.png").read_bytes().startswith(b"\x89PNG")
    assert "width 12" in (tmp_path / "student.sizes.md").read_text()
    assert all((tmp_path / f"student-{width}.pt").exists() for width in (4, 8, 12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--teachers", "nowhere.pt"], "no probe checkpoint at nowhere.pt"),
        (["--teachers", ","], "no teacher"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, data: Path, tmp_path: Path, capsys) -> None:
    assert main(["distill", "--data", str(data), "--checkpoint", str(tmp_path / "s.pt"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_teacher_of_other_maps_is_refused(world, data: Path, tmp_path: Path, capsys) -> None:
    assert main(command(data, world.folder, tmp_path / "student.pt")) == 2
    assert "layers" in capsys.readouterr().err


def test_a_teacher_that_needs_more_than_the_data_holds_is_refused(world, data: Path, tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    settings = TrainSettings(steps=1, width=8, signals=("token_ids",))
    train_probe(world.data, tmp_path / "words.pt", settings, vocabulary=80)
    assert main(command(data, tmp_path / "words.pt", tmp_path / "student.pt")) == 2
    assert "needs token_ids, which the data set does not hold" in capsys.readouterr().err
