"""A tiny reference world, trained for a moment: what its pictures look like does not matter, that everything fits does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.reference.backbone import BackboneConfig
from diffusion_probe.reference.train_backbone import train_backbone
from diffusion_probe.reference.train_reward import train_reward

TINY = BackboneConfig(grid_width=16, core_width=16, core_blocks=1, text_width=16, text_layers=1, heads=2)

torch.set_num_threads(2)


class World(NamedTuple):
    """Where the parts of the tiny world lie."""

    root: Path
    backbone: Path
    reward: Path
    reference: Path
    data: Path
    checkpoint: Path
    folder: Path

    @property
    def source(self) -> list[str]:
        """Arguments that make a command use this world."""
        return ["--reference", str(self.reference)]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Checkpoints of a tiny backbone and a tiny reward."""
    root = tmp_path_factory.mktemp("world")
    world = World(
        root,
        root / "backbone.pt",
        root / "reward.pt",
        root / "reference",
        root / "data",
        root / "probe.pt",
        root / "models" / "tiny" / "3",
    )
    train_backbone(world.backbone, steps=4, compiled=False, config=TINY, batch=4)
    train_reward(world.reward, steps=4, batch=4, width=16)
    return world


@pytest.fixture(scope="session")
def world(checkpoints: World) -> World:
    """The whole chain on it, each link by its command: exported, collected, trained, calibrated, judged."""
    run = checkpoints
    data, folder = ["--data", str(run.data)], ["--folder", str(run.folder)]
    weights = ["--backbone", str(run.backbone), "--reward", str(run.reward)]
    assert main(["reference", "export", "--out", str(run.reference), *weights]) == 0
    counts = ["--train", "40", "--calibration", "24", "--test", "12", "--seeds", "4", "--test-seeds", "8"]
    assert main(["collect", *data, *counts, "--batch", "32", "--no-compile", *run.source]) == 0
    probe = [*data, "--checkpoint", str(run.checkpoint)]
    assert main(["train", *probe, "--training-steps", "6", "--width", "8"]) == 0
    assert main(["export", *probe, *folder, "--name", "tiny", "--probe-version", "3"]) == 0
    assert main(["calibrate", *data, *folder]) == 0
    assert main(["evaluate", *data, *folder, "--repeats", "5"]) == 0
    return run
