"""A pool of connections. A call that waits for one leaves nothing behind, whatever ends its wait.

The pool of httpcore, which was here before, lost a connection when a call was cancelled at the moment of getting it:
https://github.com/encode/httpcore/issues/1093. See docs/adr/0044-the-client-on-the-standard-library.md.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .call import Call
from .connection import Connection

IDLE_SECONDS = 50.0  # gateways drop an unused connection, some without closing it, after 60 seconds or more


class PoolClosedError(Exception):
    """The pool was closed."""


class NoConnectionError(Exception):
    """No connection was free before the deadline, so nothing was sent."""


class ConnectionPool:
    """At most `size` connections. Thread-safe."""

    def __init__(self, size: int, connect: Callable[[], Connection]):
        self._connect = connect
        self._changed = threading.Condition()
        self._free = size  # how many calls may still take a connection
        self._idle: deque[tuple[float, Connection]] = deque()  # since when, the oldest first
        self._used: set[Connection] = set()
        self.is_closed = False

    @contextmanager
    def connection(self, call: Call) -> Iterator[Connection]:
        """One that no other call uses. Raises NoConnectionError, PoolClosedError, and CancelledCallError."""
        connection = self._take(call.left())
        try:
            call.begin(connection)
            yield connection
        finally:
            call.end()
            self._give_back(connection)

    def close(self) -> None:
        """Close all connections. Running calls end with an error."""
        with self._changed:
            self.is_closed = True
            idle, used = list(self._idle), list(self._used)
            self._idle.clear()
            self._changed.notify_all()
        for _, connection in idle:
            connection.close()
        for connection in used:
            connection.abort()

    def forget(self) -> None:
        """In a child process after a fork: close the copies of the parent's connections.

        It takes no lock, because one may be held for ever.
        """
        for connection in [*self._used, *(connection for _, connection in self._idle)]:
            connection.forget()

    def _take(self, seconds: float) -> Connection:
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or self.is_closed, seconds)
            if self.is_closed:
                raise PoolClosedError
            if self._free == 0 or seconds <= 0:
                raise NoConnectionError("nothing was sent: no connection was free before the deadline")
            connection = self._take_idle() or self._connect()
            self._free -= 1
            self._used.add(connection)
        return connection

    def _take_idle(self) -> Connection | None:
        """The one that was used last."""
        while self._idle and self._idle[0][0] < time.monotonic() - IDLE_SECONDS:
            self._idle.popleft()[1].close()
        while self._idle:
            connection = self._idle.pop()[1]
            if not connection.has_input():
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        with self._changed:
            self._used.discard(connection)
            is_kept = connection.is_ready and not self.is_closed
            if is_kept:
                self._idle.append((time.monotonic(), connection))
            self._free += 1
            self._changed.notify()
        if not is_kept:
            connection.close()
