"""A circuit breaker: after a row of failures nobody waits for the service any more, until one trial call has found it well."""

from __future__ import annotations

from collections.abc import Callable


class CircuitBreaker:
    """Not for several threads at once: its client lives in one event loop."""

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float]):
        """Opens for `seconds` after `failures` in a row; 0 failures: never."""
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._in_a_row = 0
        self._open_until: float | None = None
        self._on_trial = False

    def admits(self) -> bool:
        """Whether a call may go out. One that may must report how it ended."""
        if self._open_until is None:
            return True
        if self._on_trial or self._clock() < self._open_until:
            return False
        self._on_trial = True
        return True

    def succeeded(self) -> None:
        """The service has answered."""
        self._in_a_row = 0
        self._open_until = None
        self._on_trial = False

    def failed(self) -> None:
        """The service has not answered, or with nonsense."""
        self._in_a_row += 1
        if self._on_trial or (self._failures and self._in_a_row >= self._failures):
            self._open_until = self._clock() + self._seconds
        self._on_trial = False

    def withdrawn(self) -> None:
        """The caller gave up: nothing was learnt."""
        self._on_trial = False
