"""The candidates of one prompt in a sampling loop: which of them remain, and what was decided about each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .responses import ScoredGroup, ScoreFailure, ScoreOutcome

NOT_CAPTURED = "not_captured"


def sample_id(group_id: str, sample: int) -> str:
    """The sample's id in requests. It is the same at all steps, so that exploration treats the sample alike at each."""
    return f"{group_id}/{sample}"


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

    def __init__(self, client: Any, size: int, options: Mapping[str, Any]):
        """`client`: a ProbeClient. `options`: further arguments of its `score`, the same at every step."""
        self._client = client
        self._options = dict(options)
        self._id = uuid.uuid4().hex
        self.remaining = tuple(range(size))  # the indices of the remaining samples in the group of the start
        self.outcomes: list[ScoreOutcome | ScoreFailure] = []  # of every decision, in order

    def decide(self, observed: Observed, *, step: int, timestep: float, **signals: np.ndarray) -> Kept:
        """Ask about the remaining samples. Returns the indices of those that are kept, among those that remained until now.

        `signals`: further inputs of the probe by name, such as `preview`. Raises InvalidInputError for a mistake of the caller.
        """
        rows = len(self.remaining)
        outcome = self._ask(observed, step, timestep, signals)
        self.outcomes.append(outcome)
        decisions = outcome.decisions if isinstance(outcome, ScoredGroup) else ("keep",) * rows
        kept = Kept.of((index for index, decision in enumerate(decisions) if decision == "keep"), rows)
        self.remaining = tuple(self.remaining[index] for index in kept)
        return kept

    def _ask(self, observed: Observed, step: int, timestep: float, signals: Mapping[str, np.ndarray]) -> Any:
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
            group=self._id,
            sample_ids=[sample_id(self._id, index) for index in self.remaining],
            step=step,
            **{"model": observed.model, "capture_id": observed.capture_id, **self._options},
        )
