"""A circuit breaker: after several failures in a row no request is sent for a while; then one trial request decides."""

from __future__ import annotations

from collections.abc import Callable


class CircuitBreaker:
    """Not thread-safe: it is used from one event loop."""

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float]):
        """Opens for `seconds` after `failures` in a row; with 0 failures it never opens. `clock` returns seconds."""
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._failures_in_a_row = 0
        self._open_until: float | None = None
        self._trial_under_way = False

    def allow_request(self) -> bool:
        """Whether a request may be sent. If so, its end must be reported by one of the methods below."""
        if self._open_until is None:
            return True
        if self._trial_under_way or self._clock() < self._open_until:
            return False
        self._trial_under_way = True
        return True

    def record_success(self) -> None:
        """The service answered."""
        self._failures_in_a_row = 0
        self._open_until = None
        self._trial_under_way = False

    def record_failure(self) -> None:
        """The service did not answer, or with an error of its own."""
        self._failures_in_a_row += 1
        if self._trial_under_way or (self._failures and self._failures_in_a_row >= self._failures):
            self._open_until = self._clock() + self._seconds
        self._trial_under_way = False

    def record_cancellation(self) -> None:
        """The caller cancelled the request, which says nothing about the service."""
        self._trial_under_way = False
