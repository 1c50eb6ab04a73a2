"""The service's endpoints as coroutines, for both clients. A failure is a return value, not an exception."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from .circuit_breaker import CircuitBreaker
from .conditions import ConditionsSender
from .requests import InvalidInputError, ScoreRequest, deadline_seconds, feedback_body
from .response_parser import parse_feedback, parse_models, parse_score
from .responses import FeedbackAnswer, Model, ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup
from .transport import Request, Transport

BINARY_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"

MINIMA = {"connections": 1, "retries": 0, "breaker_failures": 0, "breaker_seconds": 0}


@dataclass(frozen=True)
class ClientSettings:
    """The arguments of both clients, checked. Their meaning is documented there. Raises InvalidInputError."""

    origin: str
    deadline_ms: float
    connections: int
    retries: int
    breaker_failures: int
    breaker_seconds: float

    def __post_init__(self) -> None:
        parse_origin(self.origin)
        deadline_seconds(self.deadline_ms)
        for name, minimum in MINIMA.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not minimum <= value < math.inf:
                raise InvalidInputError(name, repr(value), f"a number from {minimum}")


class Endpoints:
    """The endpoints of one service; its coroutines must run in one event loop."""

    def __init__(self, settings: ClientSettings):
        self._settings = settings
        url, socket = parse_origin(settings.origin)
        limits = httpx.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections)
        # Proxies of the environment are ignored: they are meant for other hosts than a service beside the backend.
        transport = httpx.AsyncHTTPTransport(uds=socket, limits=limits, trust_env=False)
        http = httpx.AsyncClient(base_url=url, transport=transport, timeout=None, trust_env=False)
        breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds, time.monotonic)
        self._transport = Transport(http, breaker, settings.retries)
        self._conditions = ConditionsSender()

    async def score(self, request: ScoreRequest, deadline_ms: float | None) -> ScoreOutcome:
        """POST /score."""
        parse = functools.partial(parse_score, samples=request.samples)
        body = request.encode(self._conditions.metadata(request.conditions))
        post = Request("POST", "/score", idempotent=True, body=body, content_type=BINARY_TYPE)
        answer = await self._transport.send(post, self._seconds(deadline_ms), parse)
        if not isinstance(answer, ScoredGroup):
            return unscored(answer, request.samples)
        self._conditions.learn(request.conditions, answer.conditions)
        return answer

    async def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], deadline_ms: float | None
    ) -> FeedbackAnswer | ScoreFailure:
        """POST /feedback. Not idempotent: another replica would count the receipts twice."""
        body = feedback_body(receipts, quality)
        post = Request("POST", "/feedback", idempotent=False, body=body, content_type=JSON_TYPE)
        return await self._transport.send(post, self._seconds(deadline_ms), parse_feedback)

    async def models(self, deadline_ms: float | None) -> tuple[Model, ...] | ScoreFailure:
        """GET /models."""
        return await self._transport.send(Request("GET", "/models", idempotent=True), self._seconds(deadline_ms), parse_models)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _seconds(self, deadline_ms: float | None) -> float:
        return deadline_seconds(self._settings.deadline_ms if deadline_ms is None else deadline_ms)


def unscored(failure: ScoreFailure, samples: int) -> UnscoredGroup:
    """The outcome of a failed /score: keep every sample."""
    return UnscoredGroup(failure.reason, failure.problem, failure.error, ("keep",) * samples)


def parse_origin(origin: str) -> tuple[str, str | None]:
    """The base URL and, for unix:///path/to.sock, the socket's path. Raises InvalidInputError."""
    expected = "http://host:port, https://host:port or unix:///path/to.sock"
    if not isinstance(origin, str):
        raise InvalidInputError("origin", f"a {type(origin).__name__}", expected)
    parts = urlsplit(origin)
    if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
        return "http://localhost", parts.path
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise InvalidInputError("origin", repr(origin), expected)
    return f"{parts.scheme}://{parts.netloc}", None
