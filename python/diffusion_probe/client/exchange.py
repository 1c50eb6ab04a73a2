"""One exchange with the service: the deadline, what may be sent again, and when to stop asking."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from .answers import ScoreFailure
from .circuit import CircuitBreaker
from .reading import read_problem

Answer = TypeVar("Answer")

RETURN_SHARE = 0.05  # of a deadline, left for the answer's way back; the service gets the rest
FIRST_PAUSE_SECONDS = 0.01
MAX_ANSWER_BYTES = 16 << 20


@dataclass(frozen=True)
class Call:
    """What is sent. `repeatable`: it changes nothing, so that it may be sent again where it is unknown whether it arrived."""

    method: str
    path: str
    repeatable: bool
    body: bytes | None = None
    type: str | None = None


class _NothingAnsweredError(Exception):
    """The connection failed before anything came back; `sent`: the request may have arrived."""

    def __init__(self, cause: Exception, sent: bool):
        super().__init__(str(cause))
        self.cause = cause
        self.sent = sent


@dataclass(frozen=True)
class _Response:
    status: int
    retry_after: str | None
    body: bytes


class Exchange:
    """Sends calls over a pool of connections, in one event loop."""

    def __init__(self, http: httpx.AsyncClient, breaker: CircuitBreaker, retries: int):
        self._http = http
        self._breaker = breaker
        self._retries = retries

    async def ask(self, call: Call, seconds: float, read: Callable[[bytes], Answer]) -> Answer | ScoreFailure:
        """What `read` makes of the answer, or why there is none, within so many seconds. Raises nothing but a cancellation."""
        if not self._breaker.admits():
            return ScoreFailure("circuit_open")
        try:
            answer, works = await self._answer(call, seconds, read)
        except BaseException:
            self._breaker.withdrawn()
            raise
        self._breaker.succeeded() if works else self._breaker.failed()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _answer(self, call: Call, seconds: float, read: Callable[[bytes], Answer]) -> tuple[Answer | ScoreFailure, bool]:
        """The answer or failure, and whether the service works."""
        ends = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                response = await self._persist(call, ends)
        except TimeoutError as error:
            return ScoreFailure("timeout", error=error), False
        except _NothingAnsweredError as error:
            return ScoreFailure("network", error=error.cause), False
        except Exception as error:
            return ScoreFailure("network", error=error), False
        if response.status != httpx.codes.OK:
            return _refused(response), response.status < httpx.codes.INTERNAL_SERVER_ERROR
        try:
            return read(response.body), True
        except Exception as error:  # whatever nonsense makes of the reader
            return ScoreFailure("malformed_answer", error=error), False

    async def _persist(self, call: Call, ends: float) -> _Response:
        """Send a call, and again where that is safe and the time allows it."""
        for attempt in range(self._retries):
            pause = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
            try:
                response = await self._send(call, ends)
            except _NothingAnsweredError as error:
                if (error.sent and not call.repeatable) or pause >= ends - time.monotonic():
                    raise
            else:
                asked = _seconds_asked_for(response)
                if asked is None or asked >= ends - time.monotonic():
                    return response
                pause = max(pause, asked)
            await asyncio.sleep(pause)
        return await self._send(call, ends)

    async def _send(self, call: Call, ends: float) -> _Response:
        left_ms = max(0.0, ends - time.monotonic()) * 1000
        headers = {"x-deadline-ms": f"{left_ms * (1 - RETURN_SHARE):.3f}"}
        if call.type is not None:
            headers["content-type"] = call.type
        request = self._http.build_request(call.method, call.path, headers=headers, content=call.body)
        try:
            response = await self._http.send(request, stream=True)
        except httpx.ConnectError as error:
            raise _NothingAnsweredError(error, sent=False) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _NothingAnsweredError(error, sent=True) from error
        try:
            return _Response(response.status_code, response.headers.get("retry-after"), await _whole_body(response))
        finally:
            await response.aclose()


async def _whole_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _seconds_asked_for(response: _Response) -> float | None:
    """How long a busy service asks to wait. A date counts for never: nobody who is in a hurry sends one."""
    if response.status != httpx.codes.SERVICE_UNAVAILABLE or response.retry_after is None:
        return None
    try:
        return max(0.0, float(int(response.retry_after)))
    except ValueError:
        return None


def _refused(response: _Response) -> ScoreFailure:
    problem = read_problem(response.body)
    detail = f"the service answered with status {response.status}" if problem is None else problem.detail
    return ScoreFailure("refused", problem, RuntimeError(detail))
