"""Counts the failures of a client, and reports each to the caller's function, or else the first of each kind to the log."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable

from .errors import RefusedError, is_mistake
from .responses import ScoreFailure

log = logging.getLogger("diffusion_probe.client")

MAX_KINDS = 64  # the service's reasons are texts of the network: so many are told apart
OTHER = "other"


class Failures:
    """Thread-safe."""

    def __init__(self, on_problem: Callable[[ScoreFailure], None] | None):
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged: set[str] = set()
        self.mistakes = 0  # how many of the failures are the caller's mistakes

    @property
    def counts(self) -> dict[str, int]:
        """How many calls failed, by reason."""
        with self._lock:
            return dict(self._counts)

    def count(self, failure: ScoreFailure) -> None:
        """Count a failure."""
        with self._lock:
            is_known = failure.reason in self._counts or len(self._counts) < MAX_KINDS
            self._counts[failure.reason if is_known else OTHER] += 1
            self.mistakes += is_mistake(failure.error)

    def report(self, failure: ScoreFailure) -> None:
        """Report a failure. An exception of the caller's function must not cost an image."""
        if self._on_problem is None:
            self._log_once(failure)
            return
        with contextlib.suppress(Exception):
            self._on_problem(failure)

    def _log_once(self, failure: ScoreFailure) -> None:
        error = failure.error
        kind = f"{failure.reason} {error.status}" if isinstance(error, RefusedError) else failure.reason
        with self._lock:
            if kind in self._logged or len(self._logged) >= MAX_KINDS:
                return
            self._logged.add(kind)
        # Without a message, a lasting failure would keep every image unnoticed.
        detail = "" if error is None else f" ({error})"
        log.warning("a call has no answer and keeps every sample: %s%s. Logged once.", kind, detail)
