"""The step hooks of verl-omni with a probe. The pipeline here has the hooks and the state that its documentation describes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from diffusion_probe.grpo import KeepRule, advantages, allocate
from diffusion_probe.grpo.verl_omni import ProbedSteps, RunningGroups

STEPS, WINDOW, DECISION = 6, (1, 4), 2
RULE = KeepRule(floor=0.2, share=0.5)


@dataclass
class State:
    """What a request is between two steps."""

    request_id: str
    prompt: Any
    latents: torch.Tensor
    timesteps: torch.Tensor = field(default_factory=lambda: torch.linspace(1000, 100, STEPS))
    step_index: int = 0
    sde_window: tuple[int, int] = WINDOW
    logprobs: bool = True
    all_latents: list = field(default_factory=list)
    all_log_probs: list = field(default_factory=list)
    all_timesteps: list = field(default_factory=list)


@dataclass(frozen=True)
class Output:
    """A DiffusionOutput."""

    output: dict[str, Any]
    trajectory_latents: torch.Tensor
    trajectory_log_probs: torch.Tensor
    trajectory_timesteps: torch.Tensor


class Pipeline:
    """A rollout pipeline in step execution."""

    interrupt = False

    def step_scheduler(self, state: State, noise_pred: torch.Tensor, **kwargs: Any) -> None:
        if self.interrupt:
            return
        index, (start, end) = state.step_index, state.sde_window
        if index == start:
            state.all_latents.append(state.latents)
        state.latents = state.latents + noise_pred
        if start <= index < end:
            state.all_latents.append(state.latents)
            state.all_log_probs.append(torch.full((1,), -1.0))
            state.all_timesteps.append(state.timesteps[index])
        state.step_index += 1

    def post_decode(self, state: State, **kwargs: Any) -> Output:
        metadata = {"rl": {"latents_clean": state.latents}, "model": "own"}
        lists = (torch.stack(values) for values in (state.all_latents, state.all_log_probs, state.all_timesteps))
        return Output({"payload": {"image": state.latents}, "metadata": metadata}, *lists)


class Rollouts(ProbedSteps, Pipeline):
    decision_step = DECISION

    def __init__(self, probe_score: Any, groups: RunningGroups):
        self.probe_score, self.groups = probe_score, groups


@pytest.fixture(autouse=True)
def verl_omni(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl_omni's helper, which replaces what `rl` held."""

    def with_rollout_data(base: Output, *, rl: dict[str, Any]) -> Output:
        metadata = {**base.output["metadata"], "rl": dict(rl)}
        return replace(base, output={**base.output, "metadata": metadata})

    for name in ("verl_omni", "verl_omni.pipelines", "verl_omni.pipelines.diffusion_rollout_output"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[name].with_rollout_data = with_rollout_data


def run(pipe: Rollouts, states: list[State]) -> tuple[list[Output], int]:
    """As the engine does: all requests of a step together, those that are done leave. Returns the outputs and denoiser rows."""
    outputs, rows = {}, 0
    while active := [state for state in states if state.step_index < len(state.timesteps)]:
        for state in active:
            rows += 1
            pipe.step_scheduler(state, torch.full_like(state.latents, 0.1))
            if state.step_index >= len(state.timesteps):
                outputs[state.request_id] = pipe.post_decode(state)
    return [outputs[state.request_id] for state in states], rows


def requests(count: int, prompt: Any = "a cat", **others: Any) -> list[State]:
    return [State(f"{prompt}/{index}", prompt, torch.full((1, 2), float(index)), **others) for index in range(count)]


def of_latents(state: State, noise_pred: torch.Tensor) -> float:
    return float(state.latents.mean())


def test_a_dropped_request_ends_at_once_and_looks_like_a_finished_one() -> None:
    outputs, rows = run(Rollouts(of_latents, RunningGroups(RULE)), requests(16))
    kept = [bool(output.output["metadata"]["rl"]["probe_kept"]) for output in outputs]
    assert 0 < sum(kept) < 16
    assert rows == 16 * DECISION + sum(kept) * (STEPS - DECISION)
    for output, own in zip(outputs, kept, strict=True):
        assert output.trajectory_latents.shape == (4, 1, 2)
        assert output.trajectory_log_probs.shape == (3, 1)
        assert output.trajectory_timesteps.tolist() == pytest.approx(torch.linspace(1000, 100, STEPS)[1:4].tolist())
        assert {"latents_clean", "probe_probability", "probe_score"} <= output.output["metadata"]["rl"].keys()
        assert output.output["metadata"]["model"] == "own"
        assert (output.trajectory_log_probs[-1] == (-1 if own else 0)).all()


def test_the_window_may_lie_behind_the_decision() -> None:
    outputs, _ = run(Rollouts(of_latents, RunningGroups(RULE)), requests(8, sde_window=(3, 5)))
    assert {output.trajectory_latents.shape for output in outputs} == {(3, 1, 2)}


def test_the_weights_are_unbiased_although_samples_are_decided_one_by_one() -> None:
    scores, rewards = np.arange(8.0), np.arange(8.0) ** 2
    gradients, found, weights = np.sin(np.arange(8.0)), [], []
    for seed in range(4000):
        groups = RunningGroups(RULE, seed)
        outcomes = [groups.decide(score, "a cat", str(index)) for index, score in enumerate(scores)]
        weights.append([outcome.kept / outcome.probability for outcome in outcomes])
        found.append((weights[-1] * advantages(rewards, weights[-1], np.zeros(8), std=10.0)) @ gradients / 8)
    whole = advantages(rewards, np.ones(8), np.zeros(8), std=10.0) @ gradients / 8
    assert np.mean(weights, axis=0) == pytest.approx(np.ones(8), abs=0.12)
    assert abs(np.mean(found) - whole) < 3 * np.std(found) / 4000**0.5


def test_a_sample_is_compared_with_those_of_its_group_before_it() -> None:
    groups = RunningGroups(RULE)
    for index, score in enumerate([0.3, 0.9, 0.5, 0.1]):
        groups.decide(score, "another", str(index))
        found = groups.decide(score, "a cat", str(index))
        expected = allocate([0.3, 0.9, 0.5, 0.1][: index + 1], np.zeros(index + 1), RULE.floor, RULE.shape, RULE.share)
        assert found.probability == expected[-1]


def test_a_probe_that_fails_ends_no_request() -> None:
    def failing(state: State, noise_pred: torch.Tensor) -> float:
        raise RuntimeError("no answer")

    outputs, rows = run(Rollouts(failing, RunningGroups(RULE)), requests(4))
    assert rows == 4 * STEPS
    rl = [output.output["metadata"]["rl"] for output in outputs]
    assert [(float(own["probe_kept"]), float(own["probe_probability"])) for own in rl] == [(1, 1)] * 4
    assert all(own["probe_score"].isnan() for own in rl)


def test_an_interrupted_pipeline_decides_nothing() -> None:
    pipe = Rollouts(of_latents, RunningGroups(RULE))
    state = requests(1)[0]
    state.step_index, pipe.interrupt = DECISION - 1, True
    pipe.step_scheduler(state, torch.zeros(1, 2))
    assert state.step_index == DECISION - 1
    assert not hasattr(state, "probe_outcome")


def test_prompts_of_any_kind_name_their_group() -> None:
    ids = {"prompt_ids": [1, 2]}
    assert ProbedSteps.group_of(SimpleNamespace(prompt=ids)) == ProbedSteps.group_of(SimpleNamespace(prompt=dict(ids)))
