"""Sends HTTP requests to the service with a deadline, retries and a circuit breaker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from .circuit_breaker import CircuitBreaker
from .response_parser import parse_problem
from .responses import ScoreFailure

Answer = TypeVar("Answer")

RETURN_SHARE = 0.05  # of the deadline, reserved for the response's way back; the service gets the rest
FIRST_BACKOFF_SECONDS = 0.01
RETRY_STATUSES = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
MAX_RESPONSE_BYTES = 16 << 20


@dataclass(frozen=True)
class Request:
    """`idempotent`: it may be sent again if it is unknown whether the service received it."""

    method: str
    path: str
    idempotent: bool
    body: bytes | None = None
    content_type: str | None = None


class _NoResponseError(Exception):
    """The connection failed before a response began. `sent`: the service may have received the request."""

    def __init__(self, cause: Exception, sent: bool):
        super().__init__(str(cause))
        self.cause = cause
        self.sent = sent


@dataclass(frozen=True)
class _Response:
    status: int
    retry_after: str | None
    body: bytes


class Transport:
    """Sends requests over a pool of connections, in one event loop."""

    def __init__(self, http: httpx.AsyncClient, breaker: CircuitBreaker, retries: int):
        """`retries`: how often a request is sent again at most."""
        self._http = http
        self._breaker = breaker
        self._retries = retries

    async def send(self, request: Request, seconds: float, parse: Callable[[bytes], Answer]) -> Answer | ScoreFailure:
        """The parsed body of a 200, or why there is none, within `seconds`. Raises nothing but a cancellation."""
        if not self._breaker.allow_request():
            return ScoreFailure("circuit_open")
        try:
            answer, service_works = await self._answer(request, seconds, parse)
        except BaseException:
            self._breaker.record_cancellation()
            raise
        self._breaker.record_success() if service_works else self._breaker.record_failure()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _answer(
        self, request: Request, seconds: float, parse: Callable[[bytes], Answer]
    ) -> tuple[Answer | ScoreFailure, bool]:
        """The answer or failure, and whether the service works."""
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                response = await self._send_with_retries(request, deadline)
        except TimeoutError as error:
            return ScoreFailure("timeout", error=error), False
        except _NoResponseError as error:
            return ScoreFailure("network", error=error.cause), False
        except Exception as error:
            return ScoreFailure("network", error=error), False
        if response.status != httpx.codes.OK:
            return _refused(response), response.status < httpx.codes.INTERNAL_SERVER_ERROR
        try:
            return parse(response.body), True
        except Exception as error:  # a malformed body can raise more than the parser's own error, such as OverflowError
            return ScoreFailure("malformed_answer", error=error), False

    async def _send_with_retries(self, request: Request, deadline: float) -> _Response:
        """Send a request, and again where that is safe and the deadline allows it. `deadline`: by the monotonic clock."""
        for attempt in range(self._retries):
            pause = FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
            try:
                response = await self._send(request, deadline)
            except _NoResponseError as error:
                if (error.sent and not request.idempotent) or pause >= deadline - time.monotonic():
                    raise
            else:
                retry_after = _retry_after_seconds(response)
                if retry_after is None or retry_after >= deadline - time.monotonic():
                    return response
                pause = max(pause, retry_after)
            await asyncio.sleep(pause)
        return await self._send(request, deadline)

    async def _send(self, request: Request, deadline: float) -> _Response:
        left_ms = max(0.0, deadline - time.monotonic()) * 1000
        headers = {"x-deadline-ms": f"{left_ms * (1 - RETURN_SHARE):.3f}"}
        if request.content_type is not None:
            headers["content-type"] = request.content_type
        http_request = self._http.build_request(request.method, request.path, headers=headers, content=request.body)
        try:
            response = await self._http.send(http_request, stream=True)
        except httpx.ConnectError as error:
            raise _NoResponseError(error, sent=False) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _NoResponseError(error, sent=True) from error
        try:
            return _Response(response.status_code, response.headers.get("retry-after"), await _body(response))
        finally:
            await response.aclose()


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise ValueError(f"the response has more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(body)


def _retry_after_seconds(response: _Response) -> float | None:
    """The `Retry-After` of a 429 or 503 in seconds. None without one, or if it is a date: the service sends seconds."""
    if response.status not in RETRY_STATUSES or response.retry_after is None:
        return None
    try:
        return max(0.0, float(int(response.retry_after)))
    except ValueError:
        return None


def _refused(response: _Response) -> ScoreFailure:
    problem = parse_problem(response.body)
    detail = f"the service answered with status {response.status}" if problem is None else problem.detail
    return ScoreFailure("refused", problem, RuntimeError(detail))
