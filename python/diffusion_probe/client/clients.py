"""The two clients, for threads and for asyncio."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar, Unpack

import numpy as np

from .endpoints import ClientSettings, Endpoints, unscored
from .event_loop_thread import EventLoopThread
from .group import SampleGroup
from .requests import ScoreOptions, score_request
from .responses import FeedbackAnswer, Model, ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup

DEADLINE_MS = 1000.0
CONNECTIONS = 16
RETRIES = 2
BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0

Answer = TypeVar("Answer")


class _Client:
    """What both clients share: settings, and the report of failures."""

    def __init__(
        self,
        origin: str,
        *,
        deadline_ms: float = DEADLINE_MS,
        connections: int = CONNECTIONS,
        retries: int = RETRIES,
        breaker_failures: int = BREAKER_FAILURES,
        breaker_seconds: float = BREAKER_SECONDS,
        on_problem: Callable[[ScoreFailure], None] | None = None,
    ):
        """`origin`: http://host:port, https://host:port or unix:///path/to.sock.

        `deadline_ms`: the longest a call may take, unless the call sets its own. `connections`: the most that are open at once.
        `retries`: how often a call is sent again if the connection failed before a response began, or if a 429 or 503 has a
        `Retry-After` within the deadline. `breaker_failures`: after so many failures in a row, calls fail at once for
        `breaker_seconds`; then one call is tried; 0: never. `on_problem` is called with every failure; its errors are ignored.
        Raises InvalidInputError.
        """
        self._settings = ClientSettings(origin, deadline_ms, connections, retries, breaker_failures, breaker_seconds)
        self._on_problem = on_problem
        self._set_up()

    def _set_up(self) -> None:
        raise NotImplementedError

    def _reported(self, answer: Answer) -> Answer:
        """The answer, after `on_problem` was called if it is a failure."""
        if self._on_problem is not None and isinstance(answer, ScoreFailure):
            with contextlib.suppress(Exception):
                self._on_problem(answer)
        return answer

    def _reported_or_none(self, answer: Answer | ScoreFailure) -> Answer | None:
        return None if isinstance(self._reported(answer), ScoreFailure) else answer


class AsyncProbeClient(_Client):
    """A client for asyncio. It holds a pool of connections to one service and must be used in one event loop.

    async with AsyncProbeClient("http://127.0.0.1:8080") as client:
        outcome = await client.score(attention, timestep=778.7, deadline_ms=50)

    A failure of the service or the network raises nothing: its outcome keeps every sample. A mistake of the caller raises
    InvalidInputError, a ValueError.
    """

    def _set_up(self) -> None:
        self._endpoints = Endpoints(self._settings)

    async def score(
        self,
        attention: np.ndarray,
        timestep: float | np.ndarray,
        *,
        deadline_ms: float | None = None,
        **options: Unpack[ScoreOptions],
    ) -> ScoreOutcome:
        """Score a group.

        `attention`: float16 or float32 [batch, layers, tokens, height, width]. `timestep`: a number, or float [batch].
        """
        return self._reported(await self._endpoints.score(score_request(attention, timestep, options), deadline_ms))

    async def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """Report the true quality of finished images: one number for all receipts, or one for each.

        All receipts of one sample must be in one call. Returns None on failure; the feedback may then be lost.
        """
        return self._reported_or_none(await self._endpoints.feedback(receipts, quality, deadline_ms))

    async def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """Every version of every probe that the service has. Returns None on failure."""
        return self._reported_or_none(await self._endpoints.models(deadline_ms))

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoints.close()

    async def __aenter__(self) -> AsyncProbeClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class ProbeClient(_Client):
    """A synchronous client. Any number of threads may share it, and it works in a child process after a fork.

    client = ProbeClient("http://127.0.0.1:8080")
    outcome = client.score(attention, timestep=778.7, deadline_ms=50)

    Failures and mistakes are handled as in AsyncProbeClient.
    """

    def _set_up(self) -> None:
        self._lock = threading.Lock()
        self._process: int | None = None
        self._closed = False

    def score(
        self,
        attention: np.ndarray,
        timestep: float | np.ndarray,
        *,
        deadline_ms: float | None = None,
        **options: Unpack[ScoreOptions],
    ) -> ScoreOutcome:
        """As AsyncProbeClient.score."""
        request = score_request(attention, timestep, options)
        answer = self._call(lambda endpoints: endpoints.score(request, deadline_ms))
        scored = isinstance(answer, ScoredGroup | UnscoredGroup)
        return self._reported(answer if scored else unscored(answer, request.samples))

    def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """As AsyncProbeClient.feedback."""
        return self._reported_or_none(self._call(lambda endpoints: endpoints.feedback(receipts, quality, deadline_ms)))

    def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """As AsyncProbeClient.models."""
        return self._reported_or_none(self._call(lambda endpoints: endpoints.models(deadline_ms)))

    def group(self, size: int, **options: Any) -> SampleGroup:
        """The `size` candidates of one prompt in a sampling loop. `options`: arguments of `score`, the same at every step."""
        return SampleGroup(self, range(size), options)

    def close(self) -> None:
        """Close the connections. Later calls fail with the reason `closed`."""
        with self._lock:
            if self._process == os.getpid() and not self._closed:
                self._thread.submit(self._endpoints.close()).result()
                self._thread.stop()
            self._closed = True

    def __enter__(self) -> ProbeClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, call: Callable[[Endpoints], Coroutine[Any, Any, Answer]]) -> Answer | ScoreFailure:
        with self._lock:
            if self._closed:
                return ScoreFailure("closed")
            if self._process != os.getpid():  # a fork does not copy threads, and connections must not be shared
                self._process, self._thread, self._endpoints = os.getpid(), EventLoopThread(), Endpoints(self._settings)
            future = self._thread.submit(call(self._endpoints))
        try:
            return future.result()
        except CancelledError:
            return ScoreFailure("closed")
        except BaseException:  # an interrupt, or a mistake of the caller
            future.cancel()
            raise
