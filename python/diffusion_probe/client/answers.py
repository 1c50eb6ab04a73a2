"""What the client gives back; the names are those of the service's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Decision = Literal["keep", "drop"]


@dataclass(frozen=True)
class SampleResult:
    """Score and decision of one sample."""

    index: int
    id: str | None
    score: float
    percentile: float | None
    p_good: float | None
    rank: int
    threshold: float | None
    would_drop: bool
    override: str | None
    decision: Decision
    reason: str
    receipt: str | None  # none where the service is older than feedback


@dataclass(frozen=True)
class Problem:
    """The problem document of a refused request."""

    code: str
    title: str
    status: int
    detail: str
    field: str | None = None
    received: Any = None
    expected: Any = None


@dataclass(frozen=True)
class ScoreFailure:
    """Why there is no answer.

    The service says `deadline`, `overloaded`, `unready`, `internal`; the client adds `timeout`, `network`, `refused` (see
    `problem`), `malformed_answer`, `circuit_open` (the service has failed too often to be asked now) and `closed`.
    """

    reason: str
    problem: Problem | None = None  # what the service said about a request that it refused
    error: Exception | None = None  # what went wrong on the way


@dataclass(frozen=True)
class ScoredGroup:
    """Every sample has a score and a decision."""

    model: str
    version: int
    provider: str
    policy: Mapping[str, Any]
    results: tuple[SampleResult, ...]
    outcome: Literal["scored"] = "scored"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One per sample, in order."""
        return tuple(result.decision for result in self.results)


@dataclass(frozen=True)
class UnscoredGroup(ScoreFailure):
    """There is no score: keep everything."""

    decisions: tuple[Decision, ...] = ()  # `keep` for every sample
    results: tuple[()] = ()
    outcome: Literal["failed_open"] = "failed_open"


ScoreOutcome = ScoredGroup | UnscoredGroup


@dataclass(frozen=True)
class RefusedReceipt:
    """A receipt that does not count."""

    index: int
    reason: str


@dataclass(frozen=True)
class FeedbackAnswer:
    """What became of returned receipts."""

    accepted: int
    refused: tuple[RefusedReceipt, ...]


@dataclass(frozen=True)
class Model:
    """One version of a probe, as GET /models lists it."""

    name: str
    version: int
    state: str  # serving: what the bare name means; available: by name@version; refused
    contract: Mapping[str, Any] | None  # capture, capture_id, decision_points and more; none where it could not be read
