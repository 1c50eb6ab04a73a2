"""The service's endpoints as calls, and what a client needs to send them, in one process."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from .call import Call, Request
from .circuit_breaker import CircuitBreaker
from .conditions import ConditionsSender
from .connection import Connection
from .feedback import feedback_body
from .pool import ConnectionPool
from .requests import ScoreRequest, StatedConditions
from .response_parser import parse_feedback, parse_models, parse_score
from .responses import FeedbackAnswer, Model, ScoredGroup, ScoreFailure
from .settings import ClientSettings
from .transport import Transport

if TYPE_CHECKING:
    from .tensors import Tensor

BINARY_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"

Answer = TypeVar("Answer")


class Endpoints:
    """`ends`: when a call ends, by the monotonic clock.

    Thread-safe, but not for a child process: it would share the connections, and locks that no thread of its own releases.
    """

    def __init__(self, settings: ClientSettings):
        """Raises InvalidInputError for files of certificates that cannot be read."""
        self._pool = ConnectionPool(settings.connections, functools.partial(Connection, settings.address, settings.tls()))
        breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds, time.monotonic)
        self._transport = Transport(self._pool, settings.request_headers(), breaker, settings.retries)
        self._conditions = ConditionsSender()

    def score(self, request: ScoreRequest, ends: float) -> Call[ScoredGroup | ScoreFailure]:
        """POST /score."""
        body = request.encode(self._conditions.metadata(request.conditions))
        post = Request("POST", "/score", idempotent=True, body=body, content_type=BINARY_TYPE)
        return Call(post, functools.partial(self._read_scores, request.samples, request.conditions), ends)

    def feedback(self, receipts: Sequence[str], quality: float | Sequence[float] | Tensor, ends: float) -> Call[FeedbackAnswer]:
        """POST /feedback. Not idempotent: another replica would count the receipts twice."""
        body = feedback_body(receipts, quality)
        return Call(Request("POST", "/feedback", idempotent=False, body=body, content_type=JSON_TYPE), parse_feedback, ends)

    def models(self, ends: float) -> Call[tuple[Model, ...]]:
        """GET /models."""
        return Call(Request("GET", "/models", idempotent=True), parse_models, ends)

    def send(self, call: Call[Answer]) -> Answer | ScoreFailure:
        """The answer to a call, or why there is none. It waits no longer than until the call's deadline."""
        return self._transport.send(call)

    def close(self) -> None:
        """Close the connections. Running calls fail with the reason `closed`."""
        self._pool.close()

    def forget(self) -> None:
        """In a child process after a fork: let go of the parent's connections."""
        self._pool.forget()

    def _read_scores(self, samples: int, conditions: StatedConditions | None, body: bytes) -> ScoredGroup | ScoreFailure:
        answer = parse_score(body, samples)
        if isinstance(answer, ScoredGroup):
            self._conditions.learn(conditions, answer.conditions)
        return answer
