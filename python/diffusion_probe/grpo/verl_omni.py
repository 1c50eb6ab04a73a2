"""For github.com/verl-project/verl-omni: its step hooks, with a probe that ends rollouts.

In step execution each sample is a request of its own, `StepRequestState`. The engine calls `prepare_encode`, then `denoise_step`
and `step_scheduler` until `step_index` has reached the number of timesteps, then `post_decode`. A dropped request is behind its
last step at once, with a trajectory of the usual length. So it ends as a finished one does, and `drop_incomplete_groups`, which
replaces the groups of failed requests (verl-omni pull request 358), does not see it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .decision import KeepRule
from .keeping import allocate, draw

log = logging.getLogger("diffusion_probe.grpo")

REMEMBERED = 4096  # groups; a worker draws the samples of few groups at a time


@dataclass(frozen=True)
class Outcome:
    """What was decided about a request."""

    kept: bool
    probability: float  # with which it was kept
    score: float  # NaN without an answer


class RunningGroups:
    """Decides about samples one at a time: each is compared with those of its group that came before it.

    The probability depends on scores alone and the draws are independent, so the weights are as good as those of a decision about
    the whole group. The first sample of a group is kept with the probability `share`.
    """

    def __init__(self, rule: KeepRule | None = None, seed: int = 0):
        self._rule, self._seed = rule or KeepRule(), seed
        self._scores: OrderedDict[Hashable, list[float]] = OrderedDict()

    def decide(self, score: float, group: Hashable, sample: str) -> Outcome:
        """`sample`: its id, from which its draw follows, so that a repeated request is decided alike given the same scores."""
        if not np.isfinite(score):
            return Outcome(True, 1.0, float("nan"))
        seen = self._scores.setdefault(group, [])
        self._scores.move_to_end(group)
        if len(self._scores) > REMEMBERED:
            self._scores.popitem(last=False)
        seen.append(float(score))
        rule = self._rule
        probability = float(allocate(seen, np.zeros(len(seen)), rule.floor, rule.shape, rule.share)[-1])
        digest = hashlib.sha256(f"{self._seed}\n{sample}".encode()).digest()
        return Outcome(bool(len(draw([probability], int.from_bytes(digest[:8], "big")))), probability, float(score))


class ProbedSteps:
    """A mixin before a rollout pipeline of verl-omni: `class Mine(ProbedSteps, QwenImagePipelineWithLogProb): ...`.

    Set `probe_score`, `decision_step` and `groups` on the class or the instance. `post_decode` adds `probe_kept`,
    `probe_probability` and `probe_score`, float32 [1] each, to the output's `rl`, which reaches the trainer. There, weight the
    advantages of a group by 1 / probability, and by 0 where it was dropped: `diffusion_probe.grpo.advantages`.
    """

    probe_score: Callable[[Any, torch.Tensor], float]
    """Called with the state and the noise prediction of the decision step, before the scheduler's step; returns the score."""
    decision_step: int
    groups: RunningGroups
    group_of: Callable[[Any], Hashable] = staticmethod(lambda state: repr(state.prompt))

    def step_scheduler(self, state: Any, noise_pred: torch.Tensor, **kwargs: Any) -> None:
        """As the pipeline's own; at the decision step it may end the request. A probe that fails ends none."""
        due = state.step_index + 1 == self.decision_step
        score = self._score_of(state, noise_pred) if due else float("nan")
        super().step_scheduler(state, noise_pred, **kwargs)
        if not due or state.step_index != self.decision_step:  # an interrupted pipeline takes no step
            return
        state.probe_outcome = self.groups.decide(score, self.group_of(state), str(state.request_id))
        if not state.probe_outcome.kept:
            end_rollout(state)

    def post_decode(self, state: Any, **kwargs: Any) -> Any:
        """As the pipeline's own, with the decision in the output's `rl`."""
        from verl_omni.pipelines.diffusion_rollout_output import with_rollout_data

        output = super().post_decode(state, **kwargs)
        outcome = getattr(state, "probe_outcome", Outcome(True, 1.0, float("nan")))
        named = {"probe_kept": outcome.kept, "probe_probability": outcome.probability, "probe_score": outcome.score}
        own = {name: torch.tensor([float(value)]) for name, value in named.items()}
        # The function replaces what `rl` held.
        return with_rollout_data(output, rl={**output.output.get("metadata", {}).get("rl", {}), **own})

    def _score_of(self, state: Any, noise_pred: torch.Tensor) -> float:
        try:
            return float(self.probe_score(state, noise_pred))
        except Exception as error:
            log.warning("request %s is kept without a score: %r", state.request_id, error)
            return float("nan")


def end_rollout(state: Any) -> None:
    """Move a request behind its last step, and fill its trajectory up to the length of the window with its latents as they are.

    The filled steps have the log-probability 0.
    """
    start, end = state.sde_window
    latents = state.latents.to(torch.float32)
    while len(state.all_latents) < end - start + 1 and end > start:
        state.all_latents.append(latents)
    while len(state.all_timesteps) < end - start:
        state.all_timesteps.append(state.timesteps[start + len(state.all_timesteps)])
        state.all_log_probs.append(torch.zeros(len(latents)) if state.logprobs else None)
    state.step_index = len(state.timesteps)
