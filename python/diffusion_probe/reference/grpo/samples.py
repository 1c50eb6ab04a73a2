"""Draws the samples of an iteration, and what an update needs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...devices import mixed_precision
from ...grpo import KeptRows, advantages, effective_sample_size, group_means, group_variances
from ..backbone import Backbone
from ..rectified_flow import StepOutput
from ..source import ReferenceSource, to_bytes
from ..splits import sample_caption
from .arms import keep_rows
from .judges import Score
from .rollout import Rollout, Sampler, roll_out
from .settings import SCORED, GrpoSettings


@dataclass(frozen=True)
class GroupSamples:
    """The samples of one prompt."""

    ids: Tensor  # padded token ids of the kept samples, [kept, tokens]
    rollout: Rollout
    rewards: np.ndarray  # float64 [kept]

    @property
    def kept(self) -> KeptRows:
        return self.rollout.kept

    @property
    def weights(self) -> np.ndarray:
        """Of the kept samples, float64 [kept]."""
        return self.kept.weights[self.kept.rows]


class SampleSource:
    """Draws samples with a policy. The captions and all noise depend on the seed and the iteration alone, not on the arm."""

    def __init__(self, source: ReferenceSource, settings: GrpoSettings, score: Score | None, oracle: bool):
        """`score`: of the arms that need one, else None. `oracle`: they are given the rewards of the finished images instead."""
        self._source, self._settings, self._score = source, settings, score
        self._oracle = oracle and settings.arm in SCORED
        self._sampler = Sampler(settings.steps, settings.guidance, settings.noise)

    def draw(self, backbone: Backbone, iteration: int) -> list[GroupSamples]:
        """The samples of an iteration, one entry per prompt."""
        rng = np.random.default_rng([self._settings.seed, iteration, 0])
        captions = [sample_caption(rng, "train").text() for _ in range(self._settings.prompts)]
        with mixed_precision():
            return [self._draw_group(backbone, caption, (iteration, index)) for index, caption in enumerate(captions)]

    def _draw_group(self, backbone: Backbone, caption: str, place: tuple[int, int]) -> GroupSamples:
        settings, size = self._settings, backbone.config.image_size
        seed = (settings.seed, *place)
        ids = self._source.token_ids([caption]).expand(settings.group, -1)
        window = self._window(place[0])

        def noise(step: int) -> Tensor:
            number = int(np.random.SeedSequence([*seed, step]).generate_state(1)[0])
            return torch.randn(settings.group, 3, size, size, generator=torch.Generator().manual_seed(number))

        group = np.zeros(settings.group)
        sure = None if settings.arm in SCORED else keep_rows(settings, group, group, seed)
        if self._oracle:
            whole = roll_out(backbone, ids, noise(0), self._sampler, window, noise)
            sure = keep_rows(settings, self._rewards(whole, caption), group, seed)

        def decide(output: StepOutput) -> KeptRows:
            if sure is not None:
                return sure
            try:
                scores = self._score(output, ids)
            except Exception as error:
                return KeptRows.all(settings.group, repr(error))
            return keep_rows(settings, scores, group, seed)

        late = settings.arm in SCORED
        decision, start = ((settings.drops_at, decide), None) if late else (None, sure)
        rollout = roll_out(backbone, ids, noise(0), self._sampler, window, noise, decision, start)
        return GroupSamples(ids[: len(rollout.images)], rollout, self._rewards(rollout, caption))

    def _window(self, iteration: int) -> range:
        """The steps with noise of an iteration; where they begin is drawn."""
        last_start = self._settings.window_last - self._settings.window + 1
        first = int(np.random.default_rng([self._settings.seed, iteration, 1]).integers(1, last_start + 1))
        return range(first, first + self._settings.window)

    def _rewards(self, rollout: Rollout, caption: str) -> np.ndarray:
        pixels = to_bytes(rollout.images)
        return self._source.quality(pixels, [caption] * len(pixels)).double().numpy() if len(pixels) else np.zeros(0)


def group_advantages(samples: GroupSamples, std: float) -> np.ndarray:
    """Weighted advantages of the kept samples, float64 [kept]: their mean over the samples that count is the objective's."""
    rewards, weights, group = _counted_values(samples)
    return (weights * advantages(rewards, weights, group, std))[: len(samples.rewards)]


def counted(samples: GroupSamples) -> int:
    """How many samples the group counts: the dropped ones too where the kept ones are weighted for them, else the kept ones."""
    kept = samples.kept
    return len(kept.rows) if (kept.probabilities == 1).all() else len(kept.probabilities)


def _counted_values(samples: GroupSamples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards, weights and group of the samples that count, each [counted]: the kept ones first, then 0 for the dropped ones."""
    count = counted(samples)
    padding = np.zeros(count - len(samples.rewards))
    return np.r_[samples.rewards, padding], np.r_[samples.weights, padding], np.zeros(count)


def sample_figures(groups: list[GroupSamples]) -> dict[str, float]:
    """Figures of the samples of an iteration, estimates for the whole groups.

    `variance`: of the reward within a group; `kept`: the share of the samples; `effective`: the effective sample size of a group;
    `failures`: groups that were kept whole since the scores failed.
    """
    means, variances = [], []
    for samples in groups:
        values = _counted_values(samples)
        if counted(samples):
            means.append(group_means(*values)[0])
            variances.append(group_variances(*values)[0])
    return {
        **({"sample_reward": float(np.nanmean(means))} if np.isfinite(means).any() else {}),
        "variance": float(np.mean(variances)) if variances else 0.0,
        "kept": float(np.mean([len(g.kept.rows) / len(g.kept.probabilities) for g in groups])),
        "effective": float(np.mean([effective_sample_size(g.weights) for g in groups])),
        "failures": float(sum(g.kept.failure is not None for g in groups)),
    }
