"""What both clients share: their arguments, one set of connections in each process, and the report of failures."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from .arguments import deadline_seconds
from .call import Call
from .endpoints import Endpoints
from .errors import failure_of, is_mistake
from .failures import Failures
from .responses import ScoreFailure
from .settings import ClientSettings, FilePath

DEADLINE_MS = 1000.0
CONNECTIONS = 16
RETRIES = 2
BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0

Answer = TypeVar("Answer")
Prepare = Callable[[Endpoints, float], Call[Answer]]  # makes a call that ends at a time of the monotonic clock


class ProcessState:
    """What a client has in one process. A child process after a fork gets its own."""

    def __init__(self, settings: ClientSettings):
        self.endpoints = Endpoints(settings)
        self.failures = Failures(settings.on_problem)

    def close(self) -> None:
        """End running calls and close the connections."""
        self.endpoints.close()


class BaseClient:
    """A client without its calls."""

    _state_type: type[ProcessState] = ProcessState

    def __init__(
        self,
        origin: str,
        *,
        deadline_ms: float = DEADLINE_MS,
        connections: int = CONNECTIONS,
        retries: int = RETRIES,
        breaker_failures: int = BREAKER_FAILURES,
        breaker_seconds: float = BREAKER_SECONDS,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: FilePath | None = None,
        client_certificate: FilePath | tuple[FilePath, FilePath] | None = None,
        on_mistake: Literal["raise", "keep"] = "raise",
        on_problem: Callable[[ScoreFailure], None] | None = None,
    ):
        """`origin`: http://host:port or https://host:port, with a path if the service is below one, or unix:///path/to.sock.

        `deadline_ms`: the longest a call may take, unless the call sets its own. `connections`: the most that are open at once.
        `retries`: how often a call is sent again if the connection failed before a response began, or if a 429 or 503 has a
        `Retry-After` within the deadline. `breaker_failures`: after so many faults of service or network in a row, calls fail at
        once for `breaker_seconds`; then one call is tried; 0: never.

        `api_key`: of the service; by default the environment variable DIFFUSION_PROBE_API_KEY. `headers`: of every request.
        `ca_file`: PEM file of the certificate authorities to trust instead of the system's. `client_certificate`: PEM file with
        certificate and key, or a file for each.

        `on_mistake`: what is done where the mistake is the caller's, a RefusedError or an InvalidInputError: `raise` it, or
        `keep` every sample, for production. `on_problem` is called with every failure that is not raised; its errors are
        ignored. Without it the first failure of each kind is logged. Raises InvalidInputError.
        """
        self._settings = ClientSettings(
            origin=origin,
            deadline_ms=deadline_ms,
            connections=connections,
            retries=retries,
            breaker_failures=breaker_failures,
            breaker_seconds=breaker_seconds,
            api_key=api_key,
            headers=headers,
            ca_file=ca_file,
            client_certificate=client_certificate,
            on_mistake=on_mistake,
            on_problem=on_problem,
        )
        self._is_closed = False
        self._by_process: dict[int, ProcessState] = {os.getpid(): self._state_type(self._settings)}

    @property
    def failures(self) -> Mapping[str, int]:
        """How many calls of this process had no answer, by reason."""
        return self._here.failures.counts

    @property
    def mistakes(self) -> int:
        """How many of them by the caller's mistake."""
        return self._here.failures.mistakes

    def __reduce__(self) -> tuple:
        """A copy in another process is a new client with the same arguments."""
        import pickle  # here: whoever asks for a copy has imported it

        arguments = {field.name: getattr(self._settings, field.name) for field in dataclasses.fields(self._settings)}
        try:
            pickle.dumps(self._settings.on_problem)
        except Exception as error:
            raise pickle.PicklingError(f"on_problem cannot be pickled ({error}): give a function of a module") from error
        return functools.partial(type(self), **arguments), ()

    @property
    def _here(self) -> Any:
        """What this process has. Takes no lock: after a fork, one could be held for ever."""
        process = os.getpid()
        found = self._by_process.get(process)
        if found is None:
            found = self._by_process.setdefault(process, self._state_type(self._settings))
            for other in self._by_process.keys() - {process}:
                if (parent := self._by_process.pop(other, None)) is not None:
                    parent.endpoints.forget()
        return found

    def _prepared(self, prepare: Prepare[Answer], deadline_ms: float | None) -> Call[Answer] | ScoreFailure:
        """The call to send, or why there is none. Raises TypeError for an argument that does not exist."""
        started = time.monotonic()
        try:
            if self._is_closed:
                return ScoreFailure("closed")
            seconds = deadline_seconds(self._settings.deadline_ms if deadline_ms is None else deadline_ms)
            return prepare(self._here.endpoints, started + seconds)
        except TypeError:
            raise
        except Exception as error:  # such as a lack of memory, which must not cost an image either
            return failure_of(error)

    def _settled(self, answer: Answer | ScoreFailure) -> Answer | ScoreFailure:
        """The answer. A failure is counted, and raised or reported."""
        if isinstance(answer, ScoreFailure):
            failures = self._here.failures
            failures.count(answer)
            if self._settings.on_mistake == "raise" and is_mistake(answer.error):
                raise answer.error
            failures.report(answer)
        return answer
