"""One HTTP/1.1 connection to the service, on the standard library's http.client."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from .call import Request
from .origin import PORTS, Origin
from .sockets import has_input, open_socket

MAX_RESPONSE_BYTES = 16 << 20
MAX_JOINED_BYTES = 256 << 10


@dataclass(frozen=True)
class Response:
    """A whole response."""

    status: int
    retry_after: str | None
    location: str | None
    body: bytes


class NoResponseError(Exception):
    """The connection failed before a response began. `sent`: the service may have received the request."""

    def __init__(self, cause: Exception, sent: bool):
        super().__init__(str(cause))
        self.cause = cause
        self.sent = sent


class _Http(http.client.HTTPConnection):
    """Keeps what it would send, head and body, in `parts`: sent together, they wake up the service once."""

    parts: tuple[bytes, ...] = ()

    def send(self, data: bytes) -> None:
        """Called by `request` for each part."""
        self.parts += (data,)

    def take_parts(self) -> tuple[bytes, ...]:
        """What to send: one part unless the copy would cost more."""
        parts, self.parts = self.parts, ()
        return (b"".join(parts),) if sum(map(len, parts)) <= MAX_JOINED_BYTES else parts


class Connection:
    """It carries one request at a time, and connects for the first. Not thread-safe except for `abort`."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None):
        self._origin, self._tls = origin, tls
        self._http = _Http(origin.host, origin.port)
        self._http.default_port = PORTS["https" if origin.is_tls else "http"]
        self._is_aborted = False
        self.is_ready = False  # whether the last answer was read to its end, so that it can carry another request

    def has_input(self) -> bool:
        """Whether something came after the last answer: the end of the connection, or bytes that belong to no request."""
        return has_input(self._http.sock)

    def exchange(self, request: Request, headers: Mapping[str, str], ends: float) -> Response:
        """Send a request and read its response until the deadline.

        Raises NoResponseError before a response began, then OSError, http.client.HTTPException and ValueError.
        """
        self.is_ready = False
        http_client = self._http
        try:
            if http_client.sock is None:
                http_client.sock = open_socket(self._origin, self._tls, ends)
            if self._is_aborted:  # it had no socket to shut down yet
                raise ConnectionAbortedError("the call was ended")
        except OSError as error:
            raise NoResponseError(error, sent=False) from error
        connected = http_client.sock
        connected.ends = ends
        unsent: OSError | None = None
        try:
            http_client.request(request.method, self._origin.prefix + request.path, request.body, headers)
            for part in http_client.take_parts():
                connected.sendall(part)
        except OSError as error:
            unsent = error  # it may have answered before it closed the connection
        try:
            response = http_client.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise NoResponseError(unsent or error, sent=True) from error
        body = _body(response)
        # After a 1xx comes another answer.
        is_whole = unsent is None and not connected.is_cut and response.status >= HTTPStatus.OK
        self.is_ready = http_client.sock is not None and is_whole
        return Response(response.status, response.headers["retry-after"], response.headers["location"], body)

    def abort(self) -> None:
        """End what another thread does with it, now and later."""
        self._is_aborted = True
        if (connected := self._http.sock) is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self.is_ready = False
        self._http.close()

    def forget(self) -> None:
        """Close this process's copy of a connection that the parent process uses."""
        if (connected := self._http.sock) is not None:
            with contextlib.suppress(OSError):
                os.close(connected.detach())


def _body(response: http.client.HTTPResponse) -> bytes:
    """Of a response of any length up to the limit. Raises ValueError for a longer one."""
    if response.length is not None and response.length <= MAX_RESPONSE_BYTES:
        return response.read()  # unlike a read of so many bytes, it notices when some are missing
    body = response.read(MAX_RESPONSE_BYTES + 1)
    if len(body) > MAX_RESPONSE_BYTES:
        raise ValueError(f"the response has more than {MAX_RESPONSE_BYTES} bytes")
    return body
