"""The loss of an update, in micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...devices import mixed_precision
from ..backbone import Backbone
from ..rectified_flow import Text, guided_velocity, noise_levels
from .flow_sde import NormalStep, clipped_objective, divergence, log_probability, normal_step
from .rollout import Transition
from .samples import GroupSamples, counted, group_advantages
from .settings import GrpoSettings

# Objective and divergence are means over the elements of the latents, so their gradients are small beside Adam's epsilon.
LOSS_SCALE = 10.0


class PolicyUpdate:
    """Clipped objective and divergence from the start, for the transitions of some groups."""

    def __init__(self, policy: Backbone, start: Backbone, settings: GrpoSettings, tally: dict[str, float]):
        """`tally`: its `training_calls` grow by the denoiser calls for the policy and for the start."""
        self._policy, self._start, self._settings, self._tally = policy, start, settings, tally
        self.divergences: list[float] = []  # of the micro-batches, means over their rows

    def loss(self, groups: Sequence[GroupSamples], std: float) -> Tensor:
        """The loss of an update, whose gradient is there already but for that of the last micro-batch, which the caller adds."""
        count = sum(counted(group) for group in groups) * self._settings.window
        total, last = 0.0, None
        for group, transition, rows, advantage in self._micro_batches(groups, std):
            if last is not None:
                last.backward()
                total += last.item()
            last = self._objective(group, transition, rows, advantage).sum() * (LOSS_SCALE / count)
        if last is None:  # nothing was kept
            return sum(p.sum() for p in self._policy.denoiser.parameters()) * 0.0
        return last + total

    def _micro_batches(
        self, groups: Sequence[GroupSamples], std: float
    ) -> Iterator[tuple[GroupSamples, Transition, Tensor, Tensor]]:
        for group in groups:
            advantage = torch.from_numpy(group_advantages(group, std)).float()
            for transition in group.rollout.transitions:
                for rows in torch.arange(len(advantage)).split(self._settings.micro_batch):
                    yield group, transition, rows, advantage

    def _objective(self, group: GroupSamples, transition: Transition, rows: Tensor, advantage: Tensor) -> Tensor:
        """Per row: the clipped objective, and the divergence from the start, weighted as the sample is."""
        settings = self._settings
        before, after = transition.before[rows], transition.after[rows]
        step = self._step(self._policy, group, transition, rows, before)
        now = log_probability(after, step)
        self._tally["training_calls"] += len(rows)
        loss = clipped_objective(now, transition.log_probability[rows], advantage[rows], settings.clip)
        if settings.beta:
            with torch.no_grad():
                start = self._step(self._start, group, transition, rows, before)
            self._tally["training_calls"] += len(rows)
            away = divergence(step, start)
            self.divergences.append(float(away.mean().detach()))
            loss = loss + settings.beta * torch.from_numpy(group.weights).float()[rows] * away
        return loss

    def _step(self, backbone: Backbone, group: GroupSamples, transition: Transition, rows: Tensor, before: Tensor) -> NormalStep:
        settings = self._settings
        sigmas = noise_levels(settings.steps)
        with mixed_precision():
            text = Text.of(backbone, group.ids[rows])
            velocity, _, _ = guided_velocity(backbone, before, float(sigmas[transition.step - 1]), text, settings.guidance)
        return normal_step(before, velocity, sigmas, transition.step, settings.noise)
