"""The two clients: the same calls, with and without asyncio."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar, Unpack

import numpy as np

from .answers import FeedbackAnswer, Model, ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup
from .core import ClientSettings, Core, tell, unscored
from .loop_thread import LoopThread
from .requests import ScoreOptions, score_request

DEADLINE_MS = 1000.0
CONNECTIONS = 16
RETRIES = 2
BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0

OnProblem = Callable[[ScoreFailure], None]
Answer = TypeVar("Answer")


class AsyncProbeClient:
    """Talks to one service over a pool of connections, from one event loop.

    async with AsyncProbeClient("http://127.0.0.1:8080") as client:
        outcome = await client.score(attention, timestep=778.7, deadline_ms=50)

    Nothing that the service or the network does raises: every failure is an answer that keeps everything. A mistake of the
    caller raises InvalidInputError, a ValueError.
    """

    def __init__(
        self,
        origin: str,
        *,
        deadline_ms: float = DEADLINE_MS,
        connections: int = CONNECTIONS,
        retries: int = RETRIES,
        breaker_failures: int = BREAKER_FAILURES,
        breaker_seconds: float = BREAKER_SECONDS,
        on_problem: OnProblem | None = None,
    ):
        """`origin`: http://host:port, or unix:///path/to.sock.

        `deadline_ms`: from a call to its answer at most, where the call does not say. `connections`: held open at most.
        `retries`: how often a call is sent again, where the connection failed before anything was answered or a 503 says when
        to come back, within the deadline. `breaker_failures`: after so many failures in a row calls end at once, for
        `breaker_seconds`, then one tries; 0: never. `on_problem` is told of every failure; what it raises is ignored.
        """
        settings = ClientSettings(origin, deadline_ms, connections, retries, breaker_failures, breaker_seconds)
        self._core = Core(settings)
        self._on_problem = on_problem

    async def score(
        self,
        attention: np.ndarray,
        timestep: float | np.ndarray,
        *,
        deadline_ms: float | None = None,
        **options: Unpack[ScoreOptions],
    ) -> ScoreOutcome:
        """Score a group: `attention` [batch, layers, tokens, height, width], float16 or float32."""
        outcome = await self._core.score(score_request(attention, timestep, options), deadline_ms)
        tell(self._on_problem, outcome)
        return outcome

    async def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """Tell the true quality of finished images: one number for all receipts, or one for each.

        All receipts of one sample belong into one call. None where the service did not take it: feedback that is lost costs
        knowledge and no image.
        """
        return self._taken(await self._core.feedback(receipts, quality, deadline_ms))

    async def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """The service's probes; None where it does not say."""
        return self._taken(await self._core.models(deadline_ms))

    async def close(self) -> None:
        """Close the connections."""
        await self._core.close()

    async def __aenter__(self) -> AsyncProbeClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _taken(self, answer: Answer | ScoreFailure) -> Answer | None:
        tell(self._on_problem, answer)
        return None if isinstance(answer, ScoreFailure) else answer


class ProbeClient:
    """The same without asyncio, for any number of threads, and for processes that fork.

    client = ProbeClient("http://127.0.0.1:8080")
    outcome = client.score(attention, timestep=778.7, deadline_ms=50)
    """

    def __init__(
        self,
        origin: str,
        *,
        deadline_ms: float = DEADLINE_MS,
        connections: int = CONNECTIONS,
        retries: int = RETRIES,
        breaker_failures: int = BREAKER_FAILURES,
        breaker_seconds: float = BREAKER_SECONDS,
        on_problem: OnProblem | None = None,
    ):
        """As AsyncProbeClient."""
        self._settings = ClientSettings(origin, deadline_ms, connections, retries, breaker_failures, breaker_seconds)
        self._on_problem = on_problem
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
        answer = self._run(lambda core: core.score(request, deadline_ms))
        outcome = answer if isinstance(answer, ScoredGroup | UnscoredGroup) else unscored(answer, request.samples)
        tell(self._on_problem, outcome)
        return outcome

    def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float], *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """As AsyncProbeClient.feedback."""
        return self._taken(self._run(lambda core: core.feedback(receipts, quality, deadline_ms)))

    def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """As AsyncProbeClient.models."""
        return self._taken(self._run(lambda core: core.models(deadline_ms)))

    def close(self) -> None:
        """Close the connections. Calls after that keep everything."""
        with self._lock:
            if self._process == os.getpid() and not self._closed:
                self._thread.submit(self._core.close()).result()
                self._thread.stop()
            self._closed = True

    def __enter__(self) -> ProbeClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, call: Callable[[Core], Coroutine[Any, Any, Answer]]) -> Answer | ScoreFailure:
        with self._lock:
            if self._closed:
                return ScoreFailure("closed")
            if self._process != os.getpid():  # threads and connections do not outlive a fork
                self._process, self._thread, self._core = os.getpid(), LoopThread(), Core(self._settings)
            future = self._thread.submit(call(self._core))
        try:
            return future.result()
        except CancelledError:
            return ScoreFailure("closed")
        except BaseException:  # the caller is interrupted, or has made a mistake
            future.cancel()
            raise

    def _taken(self, answer: Answer | ScoreFailure) -> Answer | None:
        tell(self._on_problem, answer)
        return None if isinstance(answer, ScoreFailure) else answer
