"""The presets of training: the composition of a batch, the loss, and that both presets train."""

import numpy as np
import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.data.dataset import Collection, Description
from diffusion_probe.data.shards import shard_path, write_shard
from diffusion_probe.data.source import Samples
from diffusion_probe.probe.config import ProbeConfig
from diffusion_probe.probe.manifest import Capture, DecisionPoint, Metric
from diffusion_probe.training.batches import sample_batch
from diffusion_probe.training.checkpoint import load_checkpoint
from diffusion_probe.training.losses import probe_loss
from diffusion_probe.training.settings import PAPER, TrainSettings

PROMPTS, SEEDS, TOKENS, GRID = 12, 8, 3, 8


def description(layers: int) -> Description:
    names = tuple(f"block.{index}" for index in range(layers))
    capture = Capture("made up", names, GRID, GRID, "mean", "all", "area")
    points = (DecisionPoint(1, 900.0), DecisionPoint(2, 600.0))
    return Description("made up", capture, {"dtype": "float32"}, 4, Metric("chance", None, None), points, {"train": SEEDS})


def samples(layers: int) -> Samples:
    rng = np.random.default_rng(0)
    count = PROMPTS * SEEDS
    attention = rng.random((count, 2, layers, TOKENS, GRID, GRID)) / TOKENS
    quality = rng.normal(size=count).astype(np.float32)
    quality[3] = np.nan
    return Samples(attention.astype(np.float16), np.ones((count, TOKENS), np.uint8), quality)


@pytest.fixture
def data(tmp_path):
    """A function that writes a data set with a given number of captured layers."""

    def write(layers: int):
        folder = tmp_path / str(layers)
        description(layers).write(folder)
        write_shard(shard_path(folder, "train", 0), samples(layers), [f"prompt {index}" for index in range(PROMPTS)])
        return folder

    return write


def collection_of(layers: int) -> Collection:
    arrays = {name: array for name, array in vars(samples(layers)).items() if array is not None}
    return Collection(description(layers), "train", [f"prompt {index}" for index in range(PROMPTS)], arrays)


def test_half_of_a_batch_of_the_paper_comes_from_the_lowest_quarter() -> None:
    collection = collection_of(2)
    settings = TrainSettings(**PAPER, batch_prompts=50)
    config = ProbeConfig(layers=2, grid=GRID, width=8)
    batch = sample_batch(collection, config, settings, step=0)
    inputs, quality = batch.inputs, batch.quality
    assert quality.shape == (50 * SEEDS, 1)
    assert quality.isfinite().all()
    low = np.nanquantile(collection.quality, 0.25)
    assert float((quality <= low).float().mean()) == pytest.approx(0.5 + 0.5 * 0.25, abs=0.06)
    attention, _, timestep = inputs
    for row in (0, 7, 399):
        sample = int(np.flatnonzero(collection.arrays["quality"] == quality[row].item())[0])
        point = [900.0, 600.0].index(float(timestep[row]))
        assert (attention[row].numpy() == collection.arrays["attention"][sample, point]).all()


def test_the_loss_of_the_paper_is_the_squared_error_alone() -> None:
    config = ProbeConfig(layers=2, grid=GRID, width=8)
    loss = probe_loss(torch.tensor([0.2, 0.6]), torch.tensor([[0.5], [0.5]]), config, TrainSettings(**PAPER))
    assert float(loss) == pytest.approx((0.3**2 + 0.1**2) / 2)


def test_the_loss_ignores_samples_without_quality() -> None:
    config = ProbeConfig(layers=2, grid=GRID, width=8)
    scores = torch.tensor([0.2, 0.6, 0.9], requires_grad=True)
    known = probe_loss(scores[:2], torch.tensor([[0.5, 0.1]]), config, TrainSettings())
    loss = probe_loss(scores, torch.tensor([[0.5, 0.1, float("nan")]]), config, TrainSettings())
    assert loss.item() == pytest.approx(known.item())
    loss.backward()
    assert scores.grad.isfinite().all()
    assert scores.grad[2] == 0


@pytest.mark.parametrize("preset", ["ours", "paper"])
def test_both_presets_train_and_fix_the_range_of_the_metric(preset: str, data, tmp_path) -> None:
    folder, checkpoint = data(10), tmp_path / "probe.pt"
    arguments = ["--data", str(folder), "--checkpoint", str(checkpoint), "--training-steps", "3", "--width", "8"]
    assert main(["train", *arguments, "--preset", preset]) == 0
    saved = load_checkpoint(checkpoint)
    assert saved["settings"]["ranking_weight"] == (0.3 if preset == "ours" else 0.0)
    quality = samples(10).quality
    low, high = saved["config"]["metric_range"]
    assert np.nanmin(quality) <= low < -1 < 1 < high <= np.nanmax(quality)


def test_the_preset_of_the_paper_reads_ten_layers(data, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data(4)), "--checkpoint", str(tmp_path / "probe.pt"), "--preset", "paper"]
    assert main(["train", *arguments]) == 2
    assert "this preset reads 10 layers, not 4" in capsys.readouterr().err


def test_the_preset_of_the_paper_mirrors_nothing(data, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data(10)), "--checkpoint", str(tmp_path / "probe.pt"), "--preset", "paper", "--mirror", "0.5"]
    assert main(["train", *arguments]) == 2
    assert "the preset paper draws single samples" in capsys.readouterr().err


def test_a_signal_that_the_data_set_lacks_is_refused(data, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data(4)), "--checkpoint", str(tmp_path / "probe.pt"), "--signals", "token_ids"]
    assert main(["train", *arguments]) == 2
    assert "the data set holds no token_ids" in capsys.readouterr().err
