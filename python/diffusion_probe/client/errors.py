"""The exceptions of the client, and which of them are mistakes of the caller."""

from __future__ import annotations

from .responses import Problem, ScoreFailure

REDIRECTION, SERVER_ERROR = 300, 500
NO_MISTAKES = (408, 425, 429)  # another time the same request may be answered


class InvalidInputError(ValueError):
    """An argument is wrong. Says which field, what was received and what was expected. Nothing was sent."""

    def __init__(self, field: str, received: object, expected: str):
        super().__init__(f"{field} is {received}: expected {expected}")
        self.field = field
        self.received = received
        self.expected = expected

    def __reduce__(self) -> tuple:
        return type(self), (self.field, self.received, self.expected)


class RefusedError(Exception):
    """The answer has another status than 200."""

    def __init__(self, status: int, problem: Problem | None = None, location: str | None = None):
        """`problem`: the service's description; None if the answer has none, such as a page of a gateway."""
        redirect = "" if location is None else f", a redirect to {location}"
        super().__init__(f"the service answered with status {status}{redirect}" if problem is None else problem.detail)
        self.status = status
        self.problem = problem
        self.location = location

    @property
    def is_mistake(self) -> bool:
        """Whether the request or the client's settings are wrong, so that the same request will be refused again."""
        return REDIRECTION <= self.status < SERVER_ERROR and self.status not in NO_MISTAKES

    def __reduce__(self) -> tuple:
        return type(self), (self.status, self.problem, self.location)


def is_mistake(error: Exception | None) -> bool:
    """Whether an exception is the caller's mistake."""
    return isinstance(error, InvalidInputError) or (isinstance(error, RefusedError) and error.is_mistake)


def failure_of(error: Exception) -> ScoreFailure:
    """The failure of a call that ended with this exception."""
    if isinstance(error, RefusedError):
        return ScoreFailure("refused", error.problem, error)
    return ScoreFailure("invalid_input" if isinstance(error, InvalidInputError) else "client_failed", error=error)
