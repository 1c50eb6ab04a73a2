"""A selection: the samples of one prompt, what was decided about each, their ranks, and what that took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL.Image import Image

from ..guard import GuardFailure, Judgement
from ..planning.plan import Plan
from .backend import Drawn, DrawnSample


@dataclass(frozen=True)
class SelectedSample:
    """One sample of a group."""

    prompt: str  # that it was drawn for
    seed: int
    image: Image | None  # None if it was dropped
    preview: Image | None  # what a dropped sample was to become, where the backend knows
    judgements: tuple[Judgement, ...]  # one per question, in order
    quality: float | None  # the metric of the finished image; None without a metric, or where it failed
    rank: int | None  # among the finished images, 1 is the best; None if it was dropped

    @property
    def score(self) -> float | None:
        """The last score; None without one."""
        return last_score(self.judgements)

    @property
    def dropped_at(self) -> int | None:
        """The step after which it was not computed further; None if it was finished."""
        return dropped_at(self.judgements)


@dataclass(frozen=True)
class Stage:
    """A part of the run, from a question to the next one."""

    first_step: int
    last_step: int
    samples: int
    calls: int  # denoiser calls of all samples together
    seconds: float  # the question at its end included; in the last stage, decoding too


@dataclass(frozen=True)
class Selection:
    """What became of one prompt."""

    prompt: str  # what the finished images are judged by
    plan: Plan
    budget: float | None  # of the plan, in whole images; None for a plan that was written out
    expected: Mapping[str, Any] | None  # what the probe's plan for the budget may expect; None for other plans
    model: str | None  # the probe, `name@version`; None if no probe was asked
    samples: tuple[SelectedSample, ...]  # in the order in which they were drawn
    ranked_by: Literal["metric", "score", "seed"]
    failures: tuple[GuardFailure, ...]
    differences: Mapping[str, tuple[Any, Any]]  # of the run from the probe's calibration, as in Drawn
    stages: tuple[Stage, ...]
    total_steps: int
    seconds: Mapping[str, float]  # `draw`, of which `ask` (a pipeline denoises meanwhile), and `measure`

    @property
    def finished(self) -> list[SelectedSample]:
        """The samples that have an image, the best first."""
        return sorted((sample for sample in self.samples if sample.rank is not None), key=lambda sample: sample.rank or 0)

    @property
    def best(self) -> SelectedSample:
        """The best finished sample."""
        return self.finished[0]

    @property
    def outcome(self) -> Literal["scored", "failed_open", "not_asked"]:
        """`failed_open` if samples were kept because they could not be scored; `not_asked` if the plan has no question."""
        if self.failures:
            return "failed_open"
        return "scored" if self.model else "not_asked"

    @property
    def calls(self) -> int:
        """Denoiser calls of all samples together."""
        return sum(stage.calls for stage in self.stages)


def ranked(
    prompts: Sequence[str], seeds: Sequence[int], drawn: Sequence[DrawnSample], quality: Sequence[float | None]
) -> tuple[tuple[SelectedSample, ...], Literal["metric", "score", "seed"]]:
    """The samples with their ranks: by quality where one is known, else by the last score, else in the order of the seeds.

    Images without a quality rank behind those that have one, by their score.
    """
    finished = [index for index, sample in enumerate(drawn) if sample.image is not None]
    scores = {index: last_score(drawn[index].judgements) for index in finished}

    def order(index: int) -> tuple[float, float, int]:
        own = (quality[index], scores[index])
        return (*(math.inf if value is None else -value for value in own), index)

    ranks = {index: rank for rank, index in enumerate(sorted(finished, key=order), 1)}
    samples = (
        SelectedSample(prompt, seed, sample.image, sample.preview, sample.judgements, quality[index], ranks.get(index))
        for index, (prompt, seed, sample) in enumerate(zip(prompts, seeds, drawn, strict=True))
    )
    if any(quality[index] is not None for index in finished):
        return tuple(samples), "metric"
    return tuple(samples), "seed" if all(score is None for score in scores.values()) else "score"


def stages_of(drawn: Drawn) -> tuple[Stage, ...]:
    """The stages of a run. A question that was not asked ends none."""
    drops = [dropped_at(sample.judgements) or drawn.total_steps for sample in drawn.samples]
    ends = [*((step, at) for step, at in sorted(drawn.answered.items())), (drawn.total_steps, drawn.seconds)]
    stages, first, since = [], 1, 0.0
    for last, at in ends:
        alive = sum(drop >= first for drop in drops)
        stages.append(Stage(first, last, alive, alive * (last - first + 1), at - since))
        first, since = last + 1, at
    return tuple(stages)


def last_score(judgements: Sequence[Judgement]) -> float | None:
    """The score of the last question that has one."""
    return next((judgement.score for judgement in reversed(judgements) if judgement.score is not None), None)


def dropped_at(judgements: Sequence[Judgement]) -> int | None:
    """The step at which the sample was dropped, if it was."""
    return next((judgement.step for judgement in judgements if judgement.decision == "drop"), None)
