"""The address of a service: over TCP, with TLS, below a path of a gateway, or a Unix domain socket."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import InvalidInputError

PORTS = {"http": 80, "https": 443}
EXPECTED = "http://host:port, https://host:port, with a path if the service is below one, or unix:///path/to.sock"


@dataclass(frozen=True)
class Origin:
    """Where to connect, and what every path begins with."""

    host: str
    port: int
    is_tls: bool
    prefix: str  # such as /probe; empty without one
    socket_path: str | None  # of a Unix domain socket, which ignores the host

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Raises InvalidInputError."""
        if not isinstance(text, str):
            raise InvalidInputError("origin", f"a {type(text).__name__}", EXPECTED)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise InvalidInputError("origin", f"{text!r} ({error})", EXPECTED) from error
        if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
            return cls("localhost", PORTS["http"], False, "", parts.path)
        is_plain = text.isascii() and text.isprintable() and " " not in text
        if (
            parts.scheme not in PORTS
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
            or not is_plain
        ):
            raise InvalidInputError("origin", repr(text), EXPECTED)
        if port is None:
            port = PORTS[parts.scheme]
        return cls(parts.hostname, port, parts.scheme == "https", parts.path.rstrip("/"), None)
