"""Shared by the tests of the client: both clients with one synchronous interface, and handlers for fake servers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from diffusion_probe.client import AsyncProbeClient, ProbeClient, ScoreFailure

ROOT = Path(__file__).parents[3]
HEAD_END = b"\r\n\r\n"


class Client:
    """One of the two clients, with a synchronous interface that threads may share."""

    def __init__(self, kind: str, origin: str, settings: dict[str, Any]):
        self.problems: list[ScoreFailure] = []
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        if self.loop:
            threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.inner = (AsyncProbeClient if self.loop else ProbeClient)(
            origin, **{"on_problem": self.problems.append, "deadline_ms": 30_000.0, **settings}
        )

    @property
    def failures(self) -> Any:
        return self.inner.failures

    @property
    def mistakes(self) -> int:
        return self.inner.mistakes

    def score(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self.inner.score, args, kwargs)

    def feedback(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self.inner.feedback, args, kwargs)

    def models(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self.inner.models, args, kwargs)

    def close(self) -> None:
        self._run(self.inner.close, (), {})

    def stop(self) -> None:
        self.close()
        if self.loop:
            self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self, call: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        if self.loop is None:
            return call(*args, **kwargs)
        return asyncio.run_coroutine_threadsafe(call(*args, **kwargs), self.loop).result()


@pytest.fixture(params=["sync", "async"])
def client_of(request: pytest.FixtureRequest):
    """Makes clients of each kind. They are closed after the test."""
    clients: list[Client] = []

    def make(origin: str, **settings: Any) -> Client:
        clients.append(Client(request.param, origin, settings))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


@pytest.fixture(scope="session")
def group() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of the repository's example."""
    with safe_open(ROOT / "examples" / "group.safetensors", framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 (it is not a mapping)


@pytest.fixture
def attention() -> np.ndarray:
    """Of three samples."""
    return np.full((3, 2, 4, 5, 5), 0.25, np.float16)


def _read_request(connection: socket.socket) -> tuple[str, bytes]:
    """Head and body of a request."""
    data = b""
    while HEAD_END not in data:
        data += _receive(connection)
    head, body = data.split(HEAD_END, 1)
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += _receive(connection)
    return head.decode().lower(), body


def _receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("the client closed the connection")
    return chunk


def _respond(connection: socket.socket, body: Any, status: str = "200 OK", *headers: str) -> None:
    """Send a complete response, after which the connection closes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", "connection: close", *headers]
    connection.sendall("\r\n".join(head).encode() + HEAD_END + content)


@pytest.fixture
def respond():
    """Makes a handler that reads a request and sends a response."""

    def handler(body: Any, status: str = "200 OK", *headers: str) -> Callable[[socket.socket], None]:
        def handle(connection: socket.socket) -> None:
            _read_request(connection)
            _respond(connection, body, status, *headers)

        return handle

    return handler


@pytest.fixture
def read_request():
    """Reads a request. Returns its head in lower case, and its body."""
    return _read_request


@pytest.fixture
def scored_response():
    """The body of a /score response in which every sample is dropped, with changes to each result."""

    def make(samples: int = 3, **changes: Any) -> dict[str, Any]:
        results = [
            {
                "index": index,
                "id": None,
                "score": 0.5,
                "percentile": None,
                "p_good": None,
                "rank": 1,
                "threshold": None,
                "would_drop": True,
                "override": None,
                "decision": "drop",
                "reason": "below_threshold",
                "receipt": "x",
                **changes,
            }
            for index in range(samples)
        ]
        policy = {"name": "score_only"}
        return {"outcome": "scored", "model": "tiny", "version": 1, "provider": "cpu", "policy": policy, "results": results}

    return make
