"""Sockets whose every operation ends at a deadline, however the other side behaves.

The timeout of a socket begins anew with every byte that arrives. See docs/adr/0044-the-client-on-the-standard-library.md.
"""

from __future__ import annotations

import math
import selectors
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from typing import Any

from .origin import Origin

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
CHUNK = 65_536


class _Timed:
    """Mixed into the classes of sockets."""

    ends = math.inf  # the deadline, by the monotonic clock
    is_cut = False  # whether the answer began before the whole request was sent
    _received = b""  # of that answer

    def recv_into(self, buffer: Any, *args: Any) -> int:
        """As socket.recv_into."""
        if self._received:
            size = min(len(buffer), len(self._received))
            buffer[:size], self._received = self._received[:size], self._received[size:]
            return size
        self.settimeout(seconds_until(self.ends))
        return super().recv_into(buffer, *args)

    def sendall(self, data: bytes, *args: Any) -> None:
        """As socket.sendall, but it stops when the other side answers: the rest would not be read."""
        rest = memoryview(data)
        self.settimeout(0)
        while rest and not self.is_cut:
            try:
                rest = rest[self.send(rest, *args) :]
            except WOULD_BLOCK:
                self._await_room_or_answer()

    def _await_room_or_answer(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ | selectors.EVENT_WRITE)
            ready = selector.select(seconds_until(self.ends))
        if ready and ready[0][1] & selectors.EVENT_READ:
            try:
                self._received = self.recv(CHUNK)
            except WOULD_BLOCK:  # what came is of TLS itself
                return
            self.is_cut = True


class TimedSocket(_Timed, socket.socket):
    """A socket with a deadline."""


class TimedTlsSocket(_Timed, ssl.SSLSocket):
    """The same with TLS."""


def open_socket(origin: Origin, tls: ssl.SSLContext | None, ends: float) -> TimedSocket | TimedTlsSocket:
    """A connected socket. Raises OSError; TimeoutError after the deadline."""
    connected = _connect_unix(origin.socket_path, ends) if origin.socket_path else _connect_tcp(origin, ends)
    if tls is None:
        return connected
    tls.sslsocket_class = TimedTlsSocket
    connected.settimeout(seconds_until(ends))
    return tls.wrap_socket(connected, server_hostname=origin.host)


def has_input(connection: socket.socket) -> bool:
    """Whether bytes or the end of the connection can be read."""
    connection.settimeout(0)
    try:
        # Of the class socket: with TLS, a byte of a record counts too.
        socket.socket.recv(connection, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def seconds_until(ends: float) -> float | None:
    """For the timeout of a socket. Raises TimeoutError after the deadline."""
    if ends == math.inf:
        return None
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("there was no answer within the deadline")
    return left


def _connect_unix(path: str, ends: float) -> TimedSocket:
    connected = TimedSocket(socket.AF_UNIX)
    try:
        connected.settimeout(seconds_until(ends))
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _connect_tcp(origin: Origin, ends: float) -> TimedSocket:
    """To the first address that answers; each gets an equal share of the time."""
    addresses = _addresses(origin, ends)
    problem: OSError = OSError(f"{origin.host} has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        connected = TimedSocket(family, kind, protocol)
        try:
            left = seconds_until(ends)
            connected.settimeout(left and left / (len(addresses) - index))
            connected.connect(address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
        except OSError as error:
            connected.close()
            problem = error
        except BaseException:
            connected.close()
            raise
    raise problem


def _addresses(origin: Origin, ends: float) -> list[tuple]:
    """Of the host. The system call for names takes no timeout, so a thread waits for it."""
    # As bytes: for a text, the first call of a process imports a codec, which a child process that forks meanwhile cannot do.
    host = origin.host.encode()
    try:
        return socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    found: Future[list[tuple]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=look_up, name="diffusion-probe-name", daemon=True).start()
    return found.result(seconds_until(ends))
