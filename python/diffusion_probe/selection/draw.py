"""Draws one group by a plan, measures the finished images and ranks them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..guard import GuardFailure
from ..metrics.quality import QualityEvaluator
from ..planning.plan import Plan
from ..probe.probe_info import NO_PROBE
from .backend import Backend, Questions
from .selection import Selection, ranked, stages_of

BEFORE_THE_RUN = 0  # the step of a failure
NOT_LISTED = GuardFailure(BEFORE_THE_RUN, NO_PROBE, "the service did not list its probes")


@dataclass(frozen=True)
class Planned:
    """What the next run does."""

    plan: Plan
    questions: Questions | None = None  # None: no probe is asked
    expected: Mapping[str, Any] | None = None  # of the probe's plan for the budget
    failures: tuple[GuardFailure, ...] = ()  # why no probe is asked, although the plan has questions


def draw_group(
    backend: Backend,
    evaluate: QualityEvaluator | None,
    prompt: str,
    prompts: Sequence[str],
    seeds: Sequence[int],
    planned: Planned,
    budget: float | None = None,
) -> Selection:
    """Draw a sample per pair of `prompts` and `seeds`. `prompt`: what the finished images are judged by.

    Raises ValueError for a prompt that the backend cannot draw, and what the backend raises.
    """
    drawn = backend.draw(prompts, seeds, planned.questions)
    started = time.monotonic()
    quality: list[float | None] = [None] * len(seeds)
    finished = [index for index, sample in enumerate(drawn.samples) if sample.image is not None]
    if evaluate is not None and finished:
        values = evaluate([drawn.samples[index].image for index in finished], [prompt] * len(finished))
        for index, value in zip(finished, values.tolist(), strict=True):
            quality[index] = value if math.isfinite(value) else None
    samples, ranked_by = ranked(prompts, seeds, drawn.samples, quality)
    return Selection(
        prompt,
        planned.plan,
        budget,
        planned.expected,
        planned.questions and planned.questions.model,
        samples,
        ranked_by,
        (*planned.failures, *drawn.failures),
        drawn.differences,
        stages_of(drawn),
        drawn.total_steps,
        {"draw": drawn.seconds, "ask": drawn.asking_seconds, "measure": time.monotonic() - started},
    )
