"""A client that may stop a whole group at one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..client import SampleResult, ScoredGroup, ScoreFailure, ScoreOutcome
from ..guard import GuardFailure
from ..guard.result import judged

STOPPED = "stopped"  # the reason of the decisions
UNKNOWN = float("nan")


class Gate:
    """Passes `score` on to a client, and drops all samples at `step` if `stops(scores)` says so; None: there are no scores."""

    def __init__(self, client: Any, step: int):
        self._client, self._step = client, step
        self.begin(lambda scores: False)

    def begin(self, stops: Callable[[Sequence[float] | None], bool]) -> None:
        """Before a run."""
        self._stops = stops
        self.scores: list[float] | None = None  # of the samples that were asked about at the step
        self.failure: GuardFailure | None = None  # why there are none

    def score(self, *args: Any, step: int, sample_ids: Sequence[str], **options: Any) -> ScoreOutcome | ScoredGroup:
        """As the client's."""
        outcome = self._client.score(*args, step=step, sample_ids=sample_ids, **options)
        if step != self._step:
            return outcome
        if isinstance(outcome, ScoredGroup):
            self.scores = [result.score for result in outcome.results]
        else:
            self.failure = judged(step, outcome, len(sample_ids))[1]
        return stopped(outcome, sample_ids, options["policy"]) if self._stops(self.scores) else outcome


def stopped(outcome: ScoredGroup | ScoreFailure, sample_ids: Sequence[str], policy: Mapping[str, Any]) -> ScoredGroup:
    """The outcome with every sample dropped. Scores that are not known are nan."""
    if isinstance(outcome, ScoredGroup):
        dropped = (replace(result, would_drop=True, decision="drop", reason=STOPPED) for result in outcome.results)
        return replace(outcome, results=tuple(dropped))
    results = (
        SampleResult(index, name, UNKNOWN, None, None, index + 1, None, True, None, "drop", STOPPED, None)
        for index, name in enumerate(sample_ids)
    )
    return ScoredGroup("", 0, "", policy, tuple(results))
