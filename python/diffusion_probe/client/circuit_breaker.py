"""A circuit breaker: after several faults in a row no request is sent for a while; then one trial request decides."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CircuitBreaker:
    """Thread-safe."""

    def __init__(self, faults: int, seconds: float, clock: Callable[[], float]):
        """Opens for `seconds` after `faults` in a row; with 0 it never opens. `clock` returns seconds."""
        self._faults = faults
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._faults_in_a_row = 0
        self._open_until: float | None = None
        self._trial_under_way = False

    def allow_request(self) -> bool:
        """Whether a request may be sent. If so, its end must be recorded by one of the methods below."""
        with self._lock:
            if self._open_until is None:
                return True
            if self._trial_under_way or self._clock() < self._open_until:
                return False
            self._trial_under_way = True
            return True

    def record_answer(self) -> None:
        """The service answered, be it with a refusal or because it is full."""
        with self._lock:
            self._faults_in_a_row = 0
            self._open_until = None
            self._trial_under_way = False

    def record_fault(self) -> None:
        """The service did not answer, or with an error of its own."""
        with self._lock:
            self._faults_in_a_row += 1
            if self._trial_under_way or (self._faults and self._faults_in_a_row >= self._faults):
                self._open_until = self._clock() + self._seconds
            self._trial_under_way = False

    def record_cancellation(self) -> None:
        """The request was not sent or was cancelled, which says nothing about the service."""
        with self._lock:
            self._trial_under_way = False
