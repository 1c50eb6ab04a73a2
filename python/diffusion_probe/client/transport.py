"""Sends calls with a deadline, retries and a circuit breaker. A failure is a return value, not an exception."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TypeVar

from .call import Call
from .circuit_breaker import CircuitBreaker
from .connection import NoResponseError, Response
from .errors import SERVER_ERROR, RefusedError
from .pool import ConnectionPool, NoConnectionError
from .response_parser import parse_problem
from .responses import ScoreFailure

Answer = TypeVar("Answer")
Outcome = tuple[Answer | ScoreFailure, Callable[[], None]]  # the second: what the circuit breaker records

RETURN_SHARE = 0.05  # of the time left, reserved for the response's way back; the service gets the rest
FIRST_BACKOFF_SECONDS = 0.01
RETRY_STATUSES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Transport:
    """Sends calls over a pool of connections. Thread-safe."""

    def __init__(self, pool: ConnectionPool, headers: Mapping[str, str], breaker: CircuitBreaker, retries: int):
        """`headers`: of every request. `retries`: how often a request is sent again at most."""
        self._pool = pool
        self._headers = headers
        self._breaker = breaker
        self._retries = retries

    def send(self, call: Call[Answer]) -> Answer | ScoreFailure:
        """The parsed body of a 200, or why there is none, within the deadline. Raises only what interrupts the thread."""
        if not self._breaker.allow_request():
            return ScoreFailure("circuit_open")
        record = self._breaker.record_cancellation
        try:
            answer, record = self._answer(call)
            return answer
        finally:
            record()

    def _answer(self, call: Call[Answer]) -> Outcome[Answer]:
        breaker = self._breaker
        try:
            response = self._send_with_retries(call)
        except NoConnectionError as error:
            return ScoreFailure("timeout", error=error), breaker.record_cancellation
        except Exception as error:
            cause = error.cause if isinstance(error, NoResponseError) else error
            cause = cause.with_traceback(None)  # its frames hold the body: a caller may keep the failure for long
            if self._pool.is_closed or call.is_cancelled:
                return ScoreFailure("closed", error=cause), breaker.record_cancellation
            return ScoreFailure("network" if call.left() else "timeout", error=cause), breaker.record_fault
        if response.status != HTTPStatus.OK:
            refusal = RefusedError(response.status, parse_problem(response.body), response.location)
            # A 503 is an overload.
            is_fault = response.status >= SERVER_ERROR and response.status != HTTPStatus.SERVICE_UNAVAILABLE
            failure = ScoreFailure("refused", refusal.problem, refusal)
            return failure, breaker.record_fault if is_fault else breaker.record_answer
        try:
            return call.parse(response.body), breaker.record_answer
        except Exception as error:  # a malformed body can raise more than the parser's own error, such as OverflowError
            return ScoreFailure("malformed_answer", error=error), breaker.record_fault

    def _send_with_retries(self, call: Call) -> Response:
        """Send a request, and again where that is safe and the deadline allows it."""
        for attempt in range(self._retries):
            pause = FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
            try:
                response = self._send(call)
            except NoResponseError as error:
                if (error.sent and not call.request.idempotent) or pause >= call.left():
                    raise
            else:
                retry_after = _retry_after_seconds(response)
                if retry_after is None or retry_after >= call.left():
                    return response
                pause = max(pause, retry_after)
            call.pause(pause)
        return self._send(call)

    def _send(self, call: Call) -> Response:
        with self._pool.connection(call) as connection:
            headers = {**self._headers, "x-deadline-ms": f"{call.left() * 1000 * (1 - RETURN_SHARE):.3f}"}
            if call.request.content_type is not None:
                headers["content-type"] = call.request.content_type
            return connection.exchange(call.request, headers, call.ends)


def _retry_after_seconds(response: Response) -> float | None:
    """The `Retry-After` of a 429 or 503 in seconds. None without one, or if it is a date: the service sends seconds."""
    if response.status not in RETRY_STATUSES or response.retry_after is None:
        return None
    try:
        return max(0.0, float(int(response.retry_after)))
    except ValueError:
        return None
