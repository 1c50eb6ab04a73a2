"""A checkpoint of another training is refused, values that are not finite end a training, and the best checkpoint is kept."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import shard_path, write_shard
from diffusion_probe.data.source import Samples
from diffusion_probe.probe.manifest import Capture, DecisionPoint, Metric
from diffusion_probe.training import fit, loop, train_probe
from diffusion_probe.training.checkpoint import load_checkpoint, load_probe, save_checkpoint

PROMPTS, SEEDS, TOKENS, GRID = 20, 4, 3, 8


def write_data(folder: Path, seed: int = 0, spoilt: int | None = None) -> Path:
    """A data set of noise, one of its samples with a NaN."""
    rng = np.random.default_rng(seed)
    capture = Capture("made up", ("one", "two"), GRID, GRID, "mean", "all", "area")
    metric = Metric("chance", (0.0, 1.0), None)
    Description("made up", capture, {"dtype": "float32"}, 4, metric, (DecisionPoint(1, 900.0),), {"train": SEEDS}).write(folder)
    count = PROMPTS * SEEDS
    attention = (rng.random((count, 1, 2, TOKENS, GRID, GRID)) / TOKENS).astype(np.float16)
    if spoilt is not None:
        attention[spoilt, 0, 1, 2, 3, 4] = np.nan
    samples = Samples(attention, np.ones((count, TOKENS), np.uint8), rng.random(count).astype(np.float32))
    write_shard(shard_path(folder, "train", 0), samples, [f"prompt {index}" for index in range(PROMPTS)])
    return folder


@pytest.fixture
def train(tmp_path: Path):
    """A function that runs the command, and the checkpoint that it writes."""
    checkpoint = tmp_path / "probe.pt"

    def run(data: Path, *arguments: str, steps: int = 4) -> int:
        paths = ["--data", str(data), "--checkpoint", str(checkpoint), "--device", "cpu"]
        return main(["train", *paths, "--training-steps", str(steps), "--width", "8", *arguments])

    return run, checkpoint


def weights(checkpoint: Path) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in load_probe(checkpoint)[0].state_dict().values()])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--seed", "5"], "seed (now 5, before 0)"),
        (["--learning-rate", "0.01"], "learning_rate (now 0.01, before 0.0015)"),
        (["--width", "16"], "width (now 16, before 8)"),
        (["--layers", "one"], "layers"),
        (["--patience", "2"], "patience (now 2, before 0)"),
    ],
)
def test_other_settings_are_refused_by_name_or_begin_anew(arguments, name, train, tmp_path, capsys) -> None:
    run, checkpoint = train
    data = write_data(tmp_path / "data")
    assert run(data) == 0
    written = checkpoint.read_bytes()
    assert run(data) == 0
    assert run(data, *arguments) == 2
    assert name in capsys.readouterr().err
    assert checkpoint.read_bytes() == written
    assert run(data, *arguments, "--fresh") == 0
    assert checkpoint.read_bytes() != written


def test_other_data_and_other_code_are_refused(train, tmp_path, capsys, monkeypatch) -> None:
    run, _ = train
    data = write_data(tmp_path / "data")
    assert run(data) == 0
    assert run(write_data(tmp_path / "other", seed=1)) == 2
    assert "of another training: data (now" in capsys.readouterr().err
    monkeypatch.setattr(loop, "__version__", "99.0.0")
    assert run(data) == 2
    assert "code (now 99.0.0" in capsys.readouterr().err


def test_more_steps_are_refused_after_the_cool_down_began(train, tmp_path, capsys) -> None:
    run, _ = train
    data = write_data(tmp_path / "data")
    assert run(data, steps=250) == 0
    assert run(data, steps=300) == 2
    assert "steps (now 300, before 250)" in capsys.readouterr().err


def test_a_checkpoint_without_settings_is_refused(train, tmp_path, capsys) -> None:
    run, checkpoint = train
    data = write_data(tmp_path / "data")
    assert run(data) == 0
    saved = load_checkpoint(checkpoint)
    del saved["settings"]
    save_checkpoint(checkpoint, saved)
    assert run(data) == 2
    assert "seed (now 0, before unknown)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train-reward", "train-backbone"])
def test_the_reference_trainings_refuse_another_seed(command, checkpoints, capsys) -> None:
    path = getattr(checkpoints, command.removeprefix("train-"))
    written = path.read_bytes()
    assert main(["reference", command, f"--{path.stem}", str(path), "--seed", "3", "--training-steps", "4"]) == 2
    assert "seed (now 3, before 0)" in capsys.readouterr().err
    assert path.read_bytes() == written


def test_a_spoilt_sample_ends_the_training_with_its_name(train, tmp_path, capsys) -> None:
    run, checkpoint = train
    assert run(write_data(tmp_path / "spoilt", spoilt=7)) == 2
    assert "the sample of seed 3 of the train prompt 'prompt 1' holds attention that is not finite" in capsys.readouterr().err
    assert not checkpoint.exists()


def test_a_loss_that_is_not_finite_keeps_the_checkpoint(train, tmp_path, capsys, monkeypatch) -> None:
    run, checkpoint = train
    data = write_data(tmp_path / "data")
    assert run(data) == 0
    written = checkpoint.read_bytes()
    monkeypatch.setattr(train_probe, "probe_loss", lambda scores, *_: scores.sum() * float("nan"))
    assert run(data, steps=8) == 2
    assert "the loss of step 4 (from 0) is not finite" in capsys.readouterr().err
    assert checkpoint.read_bytes() == written


def test_a_checkpoint_of_spoilt_weights_is_refused(train, tmp_path, capsys) -> None:
    run, checkpoint = train
    data = write_data(tmp_path / "data")
    assert run(data) == 0
    saved = load_checkpoint(checkpoint)
    next(iter(saved["model"].values())).fill_(float("nan"))
    save_checkpoint(checkpoint, saved)
    assert run(data) == 2
    assert "is not finite in" in capsys.readouterr().err
    assert run(data, "--fresh") == 0
    assert weights(checkpoint).isfinite().all()


def test_training_stops_early_and_keeps_the_best_checkpoint(train, tmp_path, capsys, monkeypatch) -> None:
    run, checkpoint = train
    data = write_data(tmp_path / "data")
    losses = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    monkeypatch.setattr(fit, "SAVE_EVERY", 2)
    monkeypatch.setattr(fit, "validate", lambda *_: {"held_back_loss": next(losses)})
    assert run(data, "--patience", "2", steps=20) == 0
    why = "kept the weights of step 4: their loss on the held-back prompts is the lowest, 0.3; stopped early at step 8"
    assert why in capsys.readouterr().out
    log = [json.loads(line) for line in checkpoint.with_suffix(".log.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in log] == [2, 4, 6, 8, None]
    assert log[-1] == {"kept": why}
    saved = load_checkpoint(checkpoint)
    kept = load_probe(checkpoint)[0].state_dict()
    assert all(torch.equal(kept[name], value) for name, value in saved["kept"]["average"].items())
    assert any(not torch.equal(kept[name], value) for name, value in saved["average"].items())
    assert run(data, "--patience", "2", steps=20) == 0  # is finished
    assert load_checkpoint(checkpoint)["step"] == 8


def test_without_patience_the_last_step_is_kept(train, tmp_path, capsys) -> None:
    run, _ = train
    assert run(write_data(tmp_path / "data")) == 0
    assert "kept the weights of step 4: the last step" in capsys.readouterr().out


def test_figures_go_to_the_tracker_of_accelerate(train, tmp_path, monkeypatch) -> None:
    tracking = pytest.importorskip("accelerate.tracking")
    logged = []

    class Recorder:
        def __init__(self, name: str, logging_dir: Path):
            self.place = (name, logging_dir)

        def start(self) -> None: ...

        def finish(self) -> None:
            logged.append("finished")

        def store_init_configuration(self, values: dict) -> None:
            logged.append(values)

        def log(self, values: dict, step: int) -> None:
            logged.append((step, sorted(values)))

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Recorder)
    run, _ = train
    assert run(write_data(tmp_path / "data"), "--track", "tensorboard") == 0
    assert logged[0]["seed"] == 0
    assert logged[1] == (0, ["learning_rate", "loss"])
    assert logged[2][0] == 4
    assert "held_back_loss" in logged[2][1]
    assert logged[-1] == "finished"


def test_tracking_without_its_package_is_one_clear_line(train, tmp_path, capsys, monkeypatch) -> None:
    pytest.importorskip("accelerate")
    for name in ("tensorboard", "tensorboardX", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    run, checkpoint = train
    assert run(write_data(tmp_path / "data"), "--track", "tensorboard") == 2
    assert "pip install 'diffusion-probe[track]'" in capsys.readouterr().err
    assert not checkpoint.exists()


def test_tensorboard_gets_an_event_file(train, tmp_path) -> None:
    pytest.importorskip("accelerate")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run, checkpoint = train
    assert run(write_data(tmp_path / "data"), "--track", "tensorboard") == 0
    # Settings have a file of their own, in a folder below.
    (written,) = (checkpoint.parent / "tensorboard" / checkpoint.stem).glob("events.out.tfevents.*")
    read = events.EventAccumulator(str(written))
    read.Reload()
    assert {"loss", "learning_rate", "held_back_loss"} <= set(read.Tags()["scalars"])
    assert [event.step for event in read.Scalars("held_back_loss")] == [4]
