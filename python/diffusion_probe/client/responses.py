"""What the client's calls return. Fields have the names of the service's responses."""

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
    score: float  # the predicted quality
    percentile: float | None  # 0 to 100, among the calibration scores; None without calibration
    p_good: float | None  # the probability, 0 to 1, that the finished image is good; None without calibration
    rank: int  # among the request's samples; 1 is the best
    threshold: float | None  # the score below which the policy drops; None if it has none
    would_drop: bool  # what the policy decides, before any override
    override: str | None  # why the sample is kept although the policy would drop it
    decision: Decision
    reason: str
    receipt: str | None  # for `feedback`; None from a service that does not issue receipts


@dataclass(frozen=True)
class Problem:
    """The problem document (RFC 9457) of a refused request."""

    code: str
    title: str
    status: int
    detail: str
    field: str | None = None
    received: Any = None
    expected: Any = None


@dataclass(frozen=True)
class ScoreFailure:
    """Why a call has no result.

    The service's reasons are `deadline`, `overloaded`, `tenant_limit` (this caller's share of the queue is used up while others
    wait), `unready` and `internal`. The client adds `timeout`, `network`, `refused` (another status than 200, see `problem`),
    `malformed_answer`, `invalid_input` (nothing was sent, see `error`), `circuit_open` (the last calls had faults, so this one
    was not sent), `closed` and `client_failed` (an exception in this process, see `error`).
    """

    reason: str
    problem: Problem | None = None  # the service's description, if it refused the request
    error: Exception | None = None  # an InvalidInputError, a RefusedError, or what the network raised


@dataclass(frozen=True)
class ScoredGroup:
    """Every sample has a score and a decision."""

    model: str
    version: int
    provider: str
    policy: Mapping[str, Any]
    results: tuple[SampleResult, ...]
    conditions: str = "unstated"  # `same` as the probe's, `foreign`, `unknown` (the service has no document) or `unstated`
    foreign_conditions: tuple[str, ...] = ()  # the settings that differ and that the operator does not ignore
    outcome: Literal["scored"] = "scored"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One per sample, in order."""
        return tuple(result.decision for result in self.results)


@dataclass(frozen=True)
class UnscoredGroup(ScoreFailure):
    """No sample has a score: keep all of them."""

    decisions: tuple[Decision, ...] = ()  # `keep` for every sample
    results: tuple[()] = ()
    outcome: Literal["failed_open"] = "failed_open"


ScoreOutcome = ScoredGroup | UnscoredGroup


@dataclass(frozen=True)
class RefusedReceipt:
    """A receipt that the service did not count."""

    index: int
    reason: str


@dataclass(frozen=True)
class FeedbackAnswer:
    """Which of the sent receipts the service counted."""

    accepted: int
    refused: tuple[RefusedReceipt, ...]


@dataclass(frozen=True)
class Model:
    """One version of a probe, as listed by GET /models."""

    name: str
    version: int
    state: str  # serving: used for the bare name; available: used for name@version; refused
    contract: Mapping[str, Any] | None  # capture, capture_id, decision_points and more; None if the service could not read it
