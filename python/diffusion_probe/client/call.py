"""One call of a client on its way: what is sent, until when, and how another thread cancels it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Answer = TypeVar("Answer")


class Abortable(Protocol):
    """A connection, for other threads."""

    def abort(self) -> None:
        """End what it is doing."""


@dataclass(frozen=True)
class Request:
    """`idempotent`: it may be sent again if it is unknown whether the service received it."""

    method: str
    path: str
    idempotent: bool
    body: bytes | None = None
    content_type: str | None = None


class CancelledCallError(Exception):
    """The call was cancelled."""


class Call(Generic[Answer]):
    """A request, what reads the body of its answer, and when it ends, by the monotonic clock."""

    def __init__(self, request: Request, parse: Callable[[bytes], Answer], ends: float):
        self.request = request
        self.parse = parse
        self.ends = ends
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._connection: Abortable | None = None

    def left(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End it from another thread. Where it runs, CancelledCallError or an error of its connection is raised."""
        with self._lock:
            self._cancelled.set()
            if self._connection is not None:
                self._connection.abort()

    def begin(self, connection: Abortable) -> None:
        """From now on `cancel` ends what this connection does. Raises CancelledCallError."""
        with self._lock:
            self._connection = connection
            if self.is_cancelled:
                raise CancelledCallError

    def end(self) -> None:
        """From now on `cancel` leaves the connection alone."""
        with self._lock:
            self._connection = None

    def pause(self, seconds: float) -> None:
        """Wait. Raises CancelledCallError."""
        if self._cancelled.wait(seconds):
            raise CancelledCallError
