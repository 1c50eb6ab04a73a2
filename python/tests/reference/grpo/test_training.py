"""Trainings of a tiny backbone: what they compute, what they learn, and that they resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.reference.backbone import Backbone, BackboneConfig
from diffusion_probe.reference.grpo.projection import project
from diffusion_probe.reference.grpo.samples import GroupSamples, counted, group_advantages
from diffusion_probe.reference.grpo.settings import ARMS, GrpoSettings
from diffusion_probe.reference.grpo.training import GrpoTraining, Judging
from diffusion_probe.reference.source import ReferenceSource
from diffusion_probe.reference.train_backbone import load_backbone

CONFIG = BackboneConfig(grid_width=16, core_width=16, core_blocks=1, text_width=16, text_layers=1, heads=2)
SETTINGS = GrpoSettings(
    iterations=2, prompts=2, group=6, steps=5, decision_step=2, window=2, window_last=3, micro_batch=4, learning_rate=1e-3
)


class Brightness(torch.nn.Module):
    """A reward that a few updates can raise: how bright an image is."""

    def forward(self, image: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(1, 2, 3)) * 5


class OwnReward(ReferenceSource):
    """The world with another reward; it has no terms, so the policy is judged by it alone."""

    def __init__(self, backbone: Backbone):
        from diffusion_probe.reference.reward import Detector, Reward

        super().__init__(backbone, Reward(Detector(8)).eval())
        self.brightness = Brightness()

    def quality(self, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
        return self.brightness(images.float() / 127.5 - 1, torch.zeros(0))


@pytest.fixture
def source() -> ReferenceSource:
    torch.manual_seed(0)
    backbone = Backbone(CONFIG).eval()
    for parameter in backbone.parameters():  # the last layer begins at zero, which would stop the gradient
        torch.nn.init.normal_(parameter, std=0.08)
    return OwnReward(backbone)


def brightness_of_preview(output, ids) -> np.ndarray:
    return output.preview.mean(dim=(1, 2, 3)).double().numpy()


def training(source: ReferenceSource, path: Path, settings: GrpoSettings = SETTINGS, score=brightness_of_preview) -> GrpoTraining:
    judging = Judging(["a cat on a blue background"], 3, 1, score, sheets=False)
    return GrpoTraining(source, path, settings, judging, score=score, judge="preview")


def figures(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("arm", ARMS)
def test_the_calls_that_are_counted_are_those_that_are_made(source, arm: str, tmp_path: Path) -> None:
    run = training(source, tmp_path / "policy.pt", replace(SETTINGS, arm=arm, iterations=1))
    counts = {True: 0, False: 0}

    def rows(module, arguments) -> None:
        counts[torch.is_grad_enabled()] += len(arguments[0])

    hooks = [model.denoiser.register_forward_pre_hook(rows) for model in (run.loop.model, run.start)]
    entry = figures(run.run())[-1]
    for hook in hooks:
        hook.remove()
    assert counts[True] == entry["training_calls"], "guidance makes two rows of a call; half of these calls are the start's"
    assert counts[False] == 2 * entry["sampling_calls"] + entry["training_calls"]
    assert entry["calls"] == entry["sampling_calls"] + entry["training_calls"]
    if arm in ("full", "top", "variance"):
        wanted = run.settings
        assert (entry["sampling_calls"], entry["training_calls"]) == (wanted.sampling_calls, 2 * wanted.training_rows)


def test_dropped_samples_change_nothing_of_the_kept_ones(source, tmp_path: Path) -> None:
    whole, part = (training(source, tmp_path / f"{arm}.pt", replace(SETTINGS, arm=arm)) for arm in ("full", "tails"))
    for all_of, some_of in zip(whole.sample_groups(3), part.sample_groups(3), strict=True):
        rows = some_of.kept.rows
        assert 0 < len(rows) < 6
        assert torch.allclose(some_of.rollout.images, all_of.rollout.images[rows], atol=0.03)  # bfloat16 where it is faster
        assert some_of.rewards == pytest.approx(all_of.rewards[rows], abs=0.01)
        assert [t.step for t in some_of.rollout.transitions] == [t.step for t in all_of.rollout.transitions]
        assert part.settings.floor <= some_of.kept.probabilities.min()


def test_the_gradient_is_that_of_the_weighted_log_probabilities(source, tmp_path: Path) -> None:
    """At the weights that drew the samples the ratio is 1, so its gradient is that of the log-probability."""
    run = training(source, tmp_path / "policy.pt", replace(SETTINGS, arm="tails", beta=0.0))
    groups = run.sample_groups(0)
    loss = run.update.loss(groups, std=0.1)
    loss.backward()
    count = sum(counted(group) for group in groups) * SETTINGS.window
    assert count == 2 * 6 * 2, "dropped samples count"
    weighted = sum(group_advantages(group, 0.1).sum() * SETTINGS.window for group in groups)
    assert loss.item() == pytest.approx(-10 * weighted / count, abs=0.05)
    gradients = [p.grad for p in run.loop.model.denoiser.parameters()]
    assert sum(float(g.square().sum()) for g in gradients) > 0
    assert all(p.grad is None for p in run.loop.model.text_encoder.parameters())
    assert all(p.grad is None for p in run.start.parameters())


def test_advantages_of_a_group_in_one_piece_and_of_a_part() -> None:
    from diffusion_probe.grpo import KeptRows
    from diffusion_probe.reference.grpo.rollout import Rollout

    def samples(kept: KeptRows, rewards: list[float]) -> GroupSamples:
        return GroupSamples(torch.zeros(0), Rollout(kept, (), torch.zeros(0), 0), np.array(rewards))

    whole = samples(KeptRows.all(4), [0.1, 0.2, 0.3, 0.4])
    assert group_advantages(whole, 0.1) == pytest.approx([-1.5, -0.5, 0.5, 1.5])
    part = samples(KeptRows(np.array([0, 3]), np.full(4, 0.5), np.zeros(4)), [0.1, 0.4])
    assert group_advantages(part, 0.1) == pytest.approx([-4.5, 4.5]), "2 for the weight, 3 / 4 for the place of the sample itself"
    unweighted = samples(KeptRows(np.array([0, 3]), np.ones(4), np.zeros(4)), [0.1, 0.4])
    assert group_advantages(unweighted, 0.1) == pytest.approx([-1.5, 1.5])
    assert (counted(whole), counted(part), counted(unweighted)) == (4, 4, 2)


def test_a_stopped_training_resumes_as_if_it_had_not_been_stopped(source, tmp_path: Path) -> None:
    settings = replace(SETTINGS, arm="tails", iterations=3)
    straight = training(source, tmp_path / "straight.pt", settings)
    straight.run()
    training(source, tmp_path / "stopped.pt", replace(settings, iterations=1)).run()
    log = tmp_path / "stopped.log.jsonl"
    log.write_text(log.read_text() + json.dumps({"iteration": 2, "of": "a run that was stopped"}) + "\n")
    resumed = training(source, tmp_path / "stopped.pt", settings)
    assert resumed.loop.first == 2
    resumed.run()
    assert figures(log) == figures(tmp_path / "straight.log.jsonl")
    for one, other in zip(straight.loop.model.parameters(), resumed.loop.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert load_backbone(tmp_path / "stopped.pt").config == CONFIG, "the checkpoint is a backbone for the other commands"
    with pytest.raises(ValueError, match=r"is of another training: .*arm"):
        training(source, tmp_path / "stopped.pt", replace(settings, arm="full"))


@pytest.mark.parametrize("arm", ["full", "tails"])
def test_the_reward_rises(source, arm: str, tmp_path: Path) -> None:
    """Of samples with the same noise, before and after."""
    settings = replace(SETTINGS, arm=arm, iterations=8, group=12, learning_rate=3e-3, beta=0.0, clip=0.2)
    run = training(source, tmp_path / "policy.pt", settings)
    run.judging = replace(run.judging, score=None)
    judge = training(source, tmp_path / "judge.pt", replace(settings, arm="full"))
    before = np.concatenate([group.rewards for group in judge.sample_groups(99)])
    run.run()
    judge.loop.model.load_state_dict(run.loop.model.state_dict())
    after = np.concatenate([group.rewards for group in judge.sample_groups(99)])
    assert (after - before).mean() > 0.01
    assert np.mean(after > before) > 0.7


def test_scores_that_fail_keep_the_whole_group(source, tmp_path: Path) -> None:
    def failing(output, ids) -> np.ndarray:
        raise RuntimeError("no answer")

    run = training(source, tmp_path / "policy.pt", replace(SETTINGS, arm="tails"), failing)
    run.judging = replace(run.judging, score=None)
    groups = run.sample_groups(0)
    assert [len(group.kept.rows) for group in groups] == [6, 6]
    assert all("no answer" in group.kept.failure for group in groups)
    assert figures(run.run())[-1]["failures"] == 2


def test_what_a_training_will_take_is_said_and_changes_nothing(source, tmp_path: Path) -> None:
    run = training(source, tmp_path / "policy.pt")
    before = {name: value.clone() for name, value in run.loop.model.state_dict().items()}
    text = project(run).text()
    assert "2 iterations of 12 samples, about 108 denoiser calls" in text
    assert all(torch.equal(value, before[name]) for name, value in run.loop.model.state_dict().items())
    assert run.tally["training_calls"] == 0
    assert run.update.divergences == []
    assert all(p.grad is None for p in run.loop.model.parameters())
