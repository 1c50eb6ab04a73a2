"""The arguments of both clients, checked."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from .arguments import deadline_seconds
from .errors import InvalidInputError
from .origin import Origin
from .responses import ScoreFailure

API_KEY_VARIABLE = "DIFFUSION_PROBE_API_KEY"
MINIMA = {"connections": 1, "retries": 0, "breaker_failures": 0, "breaker_seconds": 0}
WHOLE = ("connections", "retries", "breaker_failures")

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
OWN_HEADERS = ("connection", "content-length", "content-type", "transfer-encoding", "x-deadline-ms")

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class ClientSettings:
    """The fields are the arguments of both clients, and documented there. Raises InvalidInputError."""

    origin: str
    deadline_ms: float
    connections: int
    retries: int
    breaker_failures: int
    breaker_seconds: float
    api_key: str | None = field(repr=False)
    headers: Mapping[str, str] | None = field(repr=False)
    ca_file: FilePath | None
    client_certificate: FilePath | tuple[FilePath, FilePath] | None
    on_mistake: Literal["raise", "keep"]
    on_problem: Callable[[ScoreFailure], None] | None

    def __post_init__(self) -> None:
        deadline_seconds(self.deadline_ms)
        for name, minimum in MINIMA.items():
            value, whole = getattr(self, name), name in WHOLE
            if not isinstance(value, int if whole else int | float) or not minimum <= value < math.inf:
                raise InvalidInputError(name, repr(value), f"a {'whole ' if whole else ''}number from {minimum}")
        if self.on_mistake not in ("raise", "keep"):
            raise InvalidInputError("on_mistake", repr(self.on_mistake), "'raise' or 'keep'")
        self.request_headers()
        if (self.ca_file or self.client_certificate) and not self.address.is_tls:
            raise InvalidInputError("origin", repr(self.origin), "https://, as there is a ca_file or a client_certificate")

    @property
    def address(self) -> Origin:
        """The origin, parsed."""
        return Origin.parse(self.origin)

    def request_headers(self) -> dict[str, str]:
        """The headers of every request, by names in lower case. An error does not repeat a value: it may be a secret."""
        headers = {}
        for name, value in (self.headers or {}).items():
            if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
                raise InvalidInputError("headers", repr(name), f"names of HTTP headers other than {', '.join(OWN_HEADERS)}")
            headers[name.lower()] = _header_value(f"headers[{name!r}]", value)
        key = self.api_key
        if key is None and "authorization" not in headers:
            key = os.environ.get(API_KEY_VARIABLE) or None
        return headers if key is None else {**headers, "authorization": f"Bearer {_header_value('api_key', key)}"}

    def tls(self) -> ssl.SSLContext | None:
        """How https is spoken; None without it. Reads the files. Raises InvalidInputError."""
        if not self.address.is_tls:
            return None
        with _reading("ca_file", self.ca_file):
            context = ssl.create_default_context(cafile=self.ca_file)
        if self.client_certificate is not None:
            given = self.client_certificate
            files: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
            with _reading("client_certificate", given):
                # A question for a passphrase would stop the process.
                context.load_cert_chain(*files, password=_no_passphrase)
        return context


@contextmanager
def _reading(field: str, received: object) -> Iterator[None]:
    """Makes an InvalidInputError of what is raised inside."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInputError(field, f"{received!r} ({error})", "a PEM file that can be read") from error


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _header_value(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not HEADER_VALUE.fullmatch(value):
        raise InvalidInputError(field, "not a valid value", "a text without line breaks, in Latin-1")
    return value.strip()
