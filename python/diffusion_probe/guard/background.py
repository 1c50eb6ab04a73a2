"""Calls a client in the background, and waits for it no longer than until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Thread
from typing import Any

from ..client import ScoreFailure
from ..client.errors import failure_of

EXTRA_SECONDS = 0.25  # after the deadline, for a client that keeps it to report its failure
TIMEOUT = "timeout"


class Answer:
    """What a client will return. It is asked at once, in a daemon thread, which does not keep the process alive."""

    def __init__(self, ask: Callable[[], Any], deadline_ms: float):
        self._ends = time.monotonic() + deadline_ms / 1000 + EXTRA_SECONDS
        self._future: Future[Any] = Future()
        self._ask = ask
        Thread(target=self._run, name="diffusion-probe-guard", daemon=True).start()

    def result(self) -> Any:
        """Wait for it. Raises what the client raised, and TimeoutError after the deadline."""
        return self._future.result(max(0.0, self._ends - time.monotonic()))

    def outcome(self) -> Any:
        """Wait for the outcome of a score. What would be raised is a failure too, so that no mistake costs an image."""
        try:
            return self.result()
        except FutureTimeoutError as error:
            return ScoreFailure(TIMEOUT, error=error)
        except Exception as error:
            return failure_of(error)

    def _run(self) -> None:
        try:
            self._future.set_result(self._ask())
        except Exception as error:
            self._future.set_exception(error)
        except BaseException as error:  # a SystemExit in a client must not end the run of the pipeline
            self._future.set_exception(RuntimeError(repr(error)))
