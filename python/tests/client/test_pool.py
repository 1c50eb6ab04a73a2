"""The pool of connections is whole after every burst, and replaces connections that ended."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diffusion_probe.client import AsyncProbeClient
from diffusion_probe.client import pool as pool_module

BURST = 96
SLOW_SECONDS = 0.5
ATTENTION = np.full((3, 2, 4, 5, 5), 0.25, np.float16)


class SlowServer:
    """Answers every request of every connection, slowly until told otherwise."""

    def __init__(self, fake_server, read_request, body: bytes):
        self.is_slow = True
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        self.read_request = read_request
        self.served = fake_server(self.handle)

    def handle(self, connection) -> None:
        while True:
            self.read_request(connection)
            if self.is_slow:
                time.sleep(SLOW_SECONDS)
            connection.sendall(self.answer)


@pytest.fixture
def slow_server(fake_server, read_request, scored_response) -> Iterator[SlowServer]:
    return SlowServer(fake_server, read_request, json.dumps(scored_response()).encode())


def test_calls_after_a_burst_of_late_ones_are_answered(client_of, slow_server) -> None:
    """Each of the burst runs out of time, most of them while they wait for one of the 16 connections.

    httpx and httpcore failed here for ever: a connection that the pool had given to a call that was cancelled at that moment
    stayed taken (https://github.com/encode/httpcore/issues/1093).
    """
    client = client_of(slow_server.served.origin, breaker_failures=0, retries=0)
    with ThreadPoolExecutor(BURST) as threads:
        burst = list(threads.map(lambda _: client.score(ATTENTION, 1.0, deadline_ms=50).reason, range(BURST)))
    assert burst == ["timeout"] * BURST
    slow_server.is_slow = False
    with ThreadPoolExecutor(BURST) as threads:
        later = list(threads.map(lambda _: client.score(ATTENTION, 1.0).outcome, range(BURST)))
    assert later == ["scored"] * BURST
    assert client.failures == {"timeout": BURST}


def test_calls_after_a_burst_of_cancelled_ones_are_answered(slow_server) -> None:
    async def burst() -> list[str]:
        async with AsyncProbeClient(slow_server.served.origin, deadline_ms=30_000, breaker_failures=1) as client:
            calls = [asyncio.create_task(client.score(ATTENTION, 1.0)) for _ in range(BURST)]
            await asyncio.sleep(0.1)
            for call in calls:
                call.cancel()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            slow_server.is_slow = False
            return [outcome.outcome for outcome in await asyncio.gather(*(client.score(ATTENTION, 1.0) for _ in range(BURST)))]

    assert asyncio.run(burst()) == ["scored"] * BURST


def test_calls_that_wait_for_a_connection_do_not_open_the_circuit(client_of, slow_server) -> None:
    """That there are more calls than connections is not the service's fault."""
    client = client_of(slow_server.served.origin, connections=1, breaker_failures=2)
    first = threading.Thread(target=client.score, args=(ATTENTION, 1.0))
    first.start()
    time.sleep(0.1)
    assert [client.score(ATTENTION, 1.0, deadline_ms=50).reason for _ in range(3)] == ["timeout"] * 3
    first.join()
    assert client.score(ATTENTION, 1.0).outcome == "scored"


def test_calls_one_after_the_other_share_a_connection(client_of, slow_server) -> None:
    slow_server.is_slow = False
    client = client_of(slow_server.served.origin)
    assert [client.score(ATTENTION, 1.0).outcome for _ in range(5)] == ["scored"] * 5
    assert slow_server.served.connections == 1


def test_a_connection_that_nobody_used_for_long_is_replaced(client_of, slow_server, monkeypatch) -> None:
    slow_server.is_slow = False
    client = client_of(slow_server.served.origin)
    client.score(ATTENTION, 1.0)
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.0)
    assert client.score(ATTENTION, 1.0).outcome == "scored"
    assert slow_server.served.connections == 2


def test_feedback_never_goes_to_a_connection_that_has_ended(client_of, fake_server, read_request) -> None:
    """It could not be sent again, because nobody could tell whether it had arrived."""
    body = b'{"accepted": 1, "refused": []}'

    def handle(connection) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    client = client_of(fake_server(handle).origin)
    for _ in range(5):
        assert client.feedback(["x"], 0.5).accepted == 1
        time.sleep(0.05)
