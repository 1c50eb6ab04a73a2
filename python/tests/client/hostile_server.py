"""The hostile server of test/client-cases.json, whose members `server` it carries out."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

HEAD_END = b"\r\n\r\n"


class HostileServer:
    """Answers each request with the next reply; the last one goes on."""

    def __init__(self, replies: Sequence[dict[str, Any]], bodies: dict[str, Any]):
        self.replies = list(replies)
        self.paths: list[str] = []  # of the requests, in the order of their heads
        self._bodies = bodies
        self._lock = threading.Lock()
        self._port = 0
        self._open: set[socket.socket] = set()
        self.start()

    @property
    def origin(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=256)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        with contextlib.suppress(OSError):  # it may be stopped already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        finally:
            self._open.discard(connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            data = b""
            while True:
                while HEAD_END not in data:
                    data += receive(connection)
                head, data = data.split(HEAD_END, 1)
                reply = self._next(head)
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                if reply.get("at") == "head":
                    self._send(connection, reply, "connection: close")
                    while True:
                        receive(connection)
                while len(data) < length:
                    data += receive(connection)
                data = data[length:]
                if self._reply(connection, reply):
                    return

    def _next(self, head: bytes) -> dict[str, Any]:
        with self._lock:
            self.paths.append(head.split(b" ")[1].decode())
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def _reply(self, connection: socket.socket, reply: dict[str, Any]) -> bool:
        """Whether the connection ends."""
        time.sleep(reply.get("delay_ms", 0) / 1000)
        fault = reply.get("fault")
        if fault is None:
            self._send(connection, reply)
            return "cut_after" in reply or reply.get("then") == "close"
        if fault == "silence":
            while True:
                receive(connection)
        if fault == "reset":
            reset(connection)
        if fault == "garbage":
            connection.sendall(b"\x00\x01 this is no HTTP\r\n\r\n")
        if fault == "endless":
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            while True:
                connection.sendall(bytes(1 << 20))
        return True

    def _send(self, connection: socket.socket, reply: dict[str, Any], *headers: str) -> None:
        body = reply.get("body", "")
        body = self._bodies.get(body, body) if isinstance(body, str) else body
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        lines = [f"{name}: {value}" for name, value in reply.get("headers", {}).items()]
        head = [f"HTTP/1.1 {reply.get('status', 200)} Status", f"content-length: {len(content)}", *lines, *headers]
        response = "\r\n".join(head).encode() + HEAD_END + content[: reply.get("cut_after")]
        pause = reply.get("drip_ms", 0) / 1000
        if not pause:
            connection.sendall(response)
            return
        for byte in response:
            connection.sendall(bytes([byte]))
            time.sleep(pause)


def receive(connection: socket.socket) -> bytes:
    """Some bytes. Raises ConnectionError at the end."""
    chunk = connection.recv(1 << 16)
    if not chunk:
        raise ConnectionError("the client closed the connection")
    return chunk


def reset(connection: socket.socket) -> None:
    """End the connection with a TCP reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
