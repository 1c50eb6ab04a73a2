"""What both clients share: calls, answers, and that no failure costs an image."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from .answers import Decision, FeedbackAnswer, Model, ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup
from .circuit import CircuitBreaker
from .exchange import Call, Exchange
from .reading import read_feedback, read_models, read_score
from .requests import InvalidInputError, ScoreRequest, deadline_seconds, feedback_body

BINARY_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"

LEAST = {"connections": 1, "retries": 0, "breaker_failures": 0, "breaker_seconds": 0}


@dataclass(frozen=True)
class ClientSettings:
    """How a client behaves; the meaning of each stands with the clients."""

    origin: str
    deadline_ms: float
    connections: int
    retries: int
    breaker_failures: int
    breaker_seconds: float

    def __post_init__(self) -> None:
        parse_origin(self.origin)
        deadline_seconds(self.deadline_ms)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value < math.inf:
                raise InvalidInputError(name, repr(value), f"a number from {least}")


class Core:
    """Talks to one service; its coroutines belong to one event loop."""

    def __init__(self, settings: ClientSettings):
        self._settings = settings
        url, socket = parse_origin(settings.origin)
        limits = httpx.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections)
        # The environment's proxies are for the world outside, not for a service beside the backend.
        transport = httpx.AsyncHTTPTransport(uds=socket, limits=limits, trust_env=False)
        http = httpx.AsyncClient(base_url=url, transport=transport, timeout=None, trust_env=False)
        breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds, time.monotonic)
        self._exchange = Exchange(http, breaker, settings.retries)

    async def score(self, request: ScoreRequest, deadline_ms: float | None) -> ScoreOutcome:
        """Scores of a group, or why to keep all of it."""
        call = Call("POST", "/score", repeatable=True, body=request.encode(), type=BINARY_TYPE)
        answer = await self._exchange.ask(
            call, self._seconds(deadline_ms), functools.partial(read_score, samples=request.samples)
        )
        return answer if isinstance(answer, ScoredGroup) else unscored(answer, request.samples)

    async def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], deadline_ms: float | None
    ) -> FeedbackAnswer | ScoreFailure:
        """What the service made of receipts. Not repeatable: another replica would count them twice."""
        call = Call("POST", "/feedback", repeatable=False, body=feedback_body(receipts, quality), type=JSON_TYPE)
        return await self._exchange.ask(call, self._seconds(deadline_ms), read_feedback)

    async def models(self, deadline_ms: float | None) -> tuple[Model, ...] | ScoreFailure:
        """Every version of every probe."""
        return await self._exchange.ask(Call("GET", "/models", repeatable=True), self._seconds(deadline_ms), read_models)

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    def _seconds(self, deadline_ms: float | None) -> float:
        return deadline_seconds(self._settings.deadline_ms if deadline_ms is None else deadline_ms)


def unscored(failure: ScoreFailure, samples: int) -> UnscoredGroup:
    """The permission to go on with everything."""
    keep: Decision = "keep"
    return UnscoredGroup(failure.reason, failure.problem, failure.error, (keep,) * samples)


def tell(on_problem: Callable[[ScoreFailure], None] | None, answer: object) -> None:
    """Report a failure. A hook that fails must not cost an image either."""
    if on_problem is None or not isinstance(answer, ScoreFailure):
        return
    try:
        on_problem(answer)
    except Exception:
        return


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
