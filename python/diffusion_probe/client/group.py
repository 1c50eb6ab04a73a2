"""The candidates of one prompt in a sampling loop: which of them remain, and what was decided about each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from .responses import ScoredGroup, ScoreFailure, ScoreOutcome

NOT_CAPTURED, CLIENT_FAILED = "not_captured", "client_failed"


def sample_id(name: str, sample: int) -> str:
    """The id of a sample in requests."""
    return f"{name}/{sample}"


class Observed(Protocol):
    """What an observer has read at a step."""

    attention: np.ndarray | None  # [samples, layers, tokens, height, width]; None: it could not be read
    missing: tuple[str, ...]
    token_mask: np.ndarray
    capture_id: str
    model: str


class Kept(tuple[int, ...]):
    """The indices of the kept samples among those that there were, in ascending order."""

    rows: int  # how many there were

    @classmethod
    def of(cls, indices: Any, rows: int) -> Kept:
        """The kept `indices` of `rows` samples."""
        kept = cls(indices)
        kept.rows = rows
        return kept


class SampleGroup:
    """`kept = group.decide(observer.take(), step=5, timestep=778.6)`, then go on with the samples of these indices.

    Every failure keeps all samples: it is the last of `outcomes`.
    """

    def __init__(self, client: Any, samples: Iterable[int], options: Mapping[str, Any], name: str | None = None):
        """`client`: a ProbeClient. `samples`: their numbers. `options`: further arguments of its `score`, the same at every step.

        `name`: of the group unless `options` has another; with a sample's number it makes its id. None: one is made. Ids are the
        same at all steps, so that exploration treats a sample alike at each.
        """
        self._client = client
        self._name = name or os.urandom(16).hex()
        self._options = {"group": self._name, **options}
        self.remaining = tuple(samples)  # the numbers of the remaining samples
        self.outcomes: list[ScoreOutcome | ScoreFailure] = []  # of every decision, in order

    def decide(self, observed: Observed, *, step: int, timestep: float, **signals: np.ndarray) -> Kept:
        """Ask about the remaining samples. Returns the indices of those that are kept, among those that remained until now.

        `signals`: further inputs of the probe by name, such as `preview`. Raises InvalidInputError and RefusedError for a mistake
        of the caller, unless the client keeps those too.
        """
        return self.apply(self.ask(observed, step=step, timestep=timestep, **signals))

    def ask(self, observed: Observed, *, step: int, timestep: float, **signals: np.ndarray) -> ScoreOutcome | ScoreFailure:
        """The first half of `decide`, which waits for the service and changes nothing."""
        if observed.attention is None:
            return ScoreFailure(NOT_CAPTURED, error=RuntimeError(f"the layers {', '.join(observed.missing)} were not seen"))
        if len(observed.attention) != len(self.remaining):
            error = f"{len(observed.attention)} rows were observed: expected those of the {len(self.remaining)} remaining samples"
            return ScoreFailure(NOT_CAPTURED, error=RuntimeError(error))
        return self._client.score(
            observed.attention,
            timestep,
            token_mask=observed.token_mask,
            signals=signals,
            sample_ids=[sample_id(self._name, sample) for sample in self.remaining],
            step=step,
            **{"model": observed.model, "capture_id": observed.capture_id, **self._options},
        )

    def apply(self, outcome: ScoreOutcome | ScoreFailure) -> Kept:
        """The second half of `decide`: go on with the samples that the outcome keeps."""
        rows = len(self.remaining)
        outcome = _checked(outcome, rows)
        decisions = outcome.decisions if isinstance(outcome, ScoredGroup) else ("keep",) * rows
        kept = Kept.of((index for index, decision in enumerate(decisions) if decision != "drop"), rows)
        self.outcomes.append(outcome)
        self.remaining = tuple(self.remaining[index] for index in kept)
        return kept


def _checked(outcome: Any, samples: int) -> ScoredGroup | ScoreFailure:
    """The outcome, or a failure where another client returned neither a failure nor one decision per sample."""
    if isinstance(outcome, ScoreFailure):
        return outcome
    with contextlib.suppress(Exception):
        if isinstance(outcome, ScoredGroup) and len(outcome.decisions) == samples:
            return outcome
    return ScoreFailure(CLIENT_FAILED, error=TypeError(f"the client returned {outcome!r}: expected {samples} results"))
