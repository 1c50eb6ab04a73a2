"""The second task of a training: to judge the preview as the metric does."""

from pathlib import Path

import pytest
import torch

from diffusion_probe.data.inputs import probe_inputs
from diffusion_probe.data.shards import read_split
from diffusion_probe.probe.blocks import Network
from diffusion_probe.training.distill import DistillSettings, distill, read_distill_data
from diffusion_probe.training.settings import TrainSettings
from diffusion_probe.training.train_probe import train_probe


def trained(world, path: Path, **options) -> Network:
    settings = TrainSettings(width=8, learning_rate=1e-2, signals=("preview",), preview_width=8, **options)
    return train_probe(world.data, path, settings)


def error_of_second_output(network: Network, data: Path) -> float:
    """Mean square over the train split at its last decision point."""
    collection = read_split(data, "train", ["attention", "token_mask", "preview", "preview_quality"])
    step = collection.description.points[-1].step
    inputs = probe_inputs(collection, step, slice(None))
    with torch.no_grad():
        outputs = network.outputs(*(torch.from_numpy(inputs[spec.name]) for spec in network.config.inputs()))
    truth = torch.from_numpy(collection.at_step("preview_quality", step).ravel())
    return (outputs[:, 1] - truth).square().mean().item()


def test_the_second_output_learns_the_metric_of_the_preview(world, tmp_path: Path) -> None:
    short = trained(world, tmp_path / "short.pt", steps=1, preview_weight=1.0)
    long = trained(world, tmp_path / "long.pt", steps=40, preview_weight=1.0)
    before, after = error_of_second_output(short, world.data), error_of_second_output(long, world.data)
    assert after < 0.9 * before


def test_without_a_weight_there_is_one_output(world, tmp_path: Path) -> None:
    network = trained(world, tmp_path / "probe.pt", steps=1)
    assert not any(name.startswith("preview_head") for name in network.state_dict())


def test_a_student_learns_it_too(world, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.pt"
    trained(world, teacher, steps=1)
    figures = []
    for steps in (1, 40):
        settings = DistillSettings(
            steps=steps,
            network="full",
            width=8,
            learning_rate=1e-2,
            signals=("preview",),
            preview_width=8,
            preview_weight=1.0,
        )
        data = read_distill_data(world.data, [teacher], settings, tmp_path / "cache")
        figures.append(error_of_second_output(distill(data, tmp_path / f"{steps}.pt", settings), world.data))
    assert figures[1] < 0.9 * figures[0]


def test_a_weight_needs_the_preview(world, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--preview-weight needs --signals with preview"):
        train_probe(world.data, tmp_path / "probe.pt", TrainSettings(steps=1, width=8, preview_weight=1.0))
