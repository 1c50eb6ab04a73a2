"""A client that measures how long its answers take."""

from __future__ import annotations

import time
from typing import Any


class TimedClient:
    """Passes `score` on to a client. `begin` starts the measurement of a run."""

    def __init__(self, client: Any):
        self._client = client
        self.begin()

    def begin(self) -> None:
        """Forget the run before."""
        self._started = time.monotonic()
        self.seconds = 0.0  # of all questions
        self.answered: dict[int, float] = {}  # by step: the seconds from `begin` to the answer

    def score(self, *args: Any, step: int, **options: Any) -> Any:
        """As the client's."""
        asked = time.monotonic()
        try:
            return self._client.score(*args, step=step, **options)
        finally:
            now = time.monotonic()
            self.seconds += now - asked
            self.answered[step] = now - self._started
