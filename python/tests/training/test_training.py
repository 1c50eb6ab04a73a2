"""A resumed training ends with the same weights as an uninterrupted one; checkpoints survive a kill."""

from pathlib import Path

import pytest
import torch
from torch import nn

from diffusion_probe.progress import Progress
from diffusion_probe.reference.backbone import BackboneConfig
from diffusion_probe.reference.train_backbone import train_backbone
from diffusion_probe.reference.train_reward import train_reward
from diffusion_probe.training.checkpoint import WeightAverage, load_checkpoint, save_checkpoint
from diffusion_probe.training.loop import trapezoid
from diffusion_probe.training.settings import TrainSettings
from diffusion_probe.training.train_probe import train_probe

TINY = BackboneConfig(grid_width=16, core_width=16, core_blocks=1, text_width=16, text_layers=1, heads=2)


def same(one: nn.Module, two: nn.Module) -> bool:
    states = one.state_dict(), two.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def backbone(path: Path, milestones: tuple[int, ...] = ()) -> nn.Module:
    return train_backbone(path, steps=4, compiled=False, config=TINY, batch=3, milestones=milestones)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = backbone(tmp_path / "whole.pt", milestones=(2,))
    (tmp_path / "whole-2.pt").rename(tmp_path / "resumed.pt")  # the checkpoint of a training that was killed after two steps
    assert load_checkpoint(tmp_path / "resumed.pt")["step"] == 2
    assert same(whole, backbone(tmp_path / "resumed.pt"))


def test_a_finished_training_does_not_run_again(tmp_path: Path) -> None:
    first = train_reward(tmp_path / "reward.pt", steps=2, batch=3, width=8)
    written = (tmp_path / "reward.pt").stat().st_mtime_ns
    assert same(first, train_reward(tmp_path / "reward.pt", steps=2, batch=3, width=8))
    assert (tmp_path / "reward.pt").stat().st_mtime_ns == written


def test_a_seed_determines_the_probe(world, tmp_path: Path) -> None:
    one, two, other = (
        train_probe(world.data, tmp_path / f"{name}.pt", TrainSettings(steps=3, width=8, seed=seed))
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    assert same(one, two)
    assert not same(one, other)


def test_a_backbone_can_start_from_another(tmp_path: Path) -> None:
    start = backbone(tmp_path / "start.pt")
    continued = train_backbone(tmp_path / "new.pt", steps=1, compiled=False, batch=3, start=start)
    fresh = train_backbone(tmp_path / "fresh.pt", steps=1, compiled=False, batch=3, config=TINY)

    def distance(model: nn.Module) -> float:
        pairs = zip(model.parameters(), start.parameters(), strict=True)
        return sum((a - b).abs().sum().item() for a, b in pairs)

    assert distance(continued) < distance(fresh) / 2


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"step": lambda: None})
    assert load_checkpoint(path) == {"step": 1}


def test_loading_a_missing_checkpoint_returns_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none.pt") is None


def test_the_learning_rate_warms_up_then_stays_then_cools_down() -> None:
    rates = [trapezoid(step, total=100, warm_up=10, cool_down=20) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[10:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert min(rates) > 0


def test_the_weight_average_moves_fast_at_first_and_slowly_later() -> None:
    module = nn.Linear(1, 1)
    nn.init.zeros_(module.weight)
    average = WeightAverage(module, decay=0.99)
    nn.init.ones_(module.weight)
    average.update(module, step=0)
    assert average.state["weight"].item() == pytest.approx(0.9)
    average.state["weight"].zero_()
    average.update(module, step=100_000)
    assert average.state["weight"].item() == pytest.approx(0.01)


def test_progress_counts_from_where_it_was_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("work", first=3, total=6)
    assert list(progress) == [3, 4, 5]
    assert "6/6" in capsys.readouterr().err
