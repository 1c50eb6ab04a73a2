"""Failures that test/client-cases.json cannot express: of what is no JSON, of sockets, and of a client that is closed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diffusion_probe.client import AsyncProbeClient

KEEP_ALL = ("keep",) * 3
UNUSED_ORIGIN = "http://127.0.0.1:1"
LONG_MS = 600_000.0
MALFORMED = [b"\xff\xfe", b"[" * 100_000, b'{"outcome":"failed_open","reason":"deadline"}\xff']
ODD_SCORES = [None, True, float("nan"), float("inf"), 10**400]


def expect_kept(outcome, reason: str) -> None:
    assert (outcome.outcome, outcome.reason, outcome.decisions, outcome.results) == ("failed_open", reason, KEEP_ALL, ())


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_no_json(client_of, attention, fake_server, respond, body: bytes) -> None:
    client = client_of(fake_server(respond(body)).origin)
    expect_kept(client.score(attention, 1.0), "malformed_answer")
    assert client.feedback(["x"], 0.5) is None
    assert client.models() is None


@pytest.mark.parametrize("score", ODD_SCORES, ids=lambda score: str(score)[:10])
def test_a_score_that_is_no_number(client_of, attention, fake_server, respond, scored_response, score) -> None:
    expect_kept(client_of(fake_server(respond(scored_response(score=score))).origin).score(attention, 1.0), "malformed_answer")


def test_a_unix_socket_that_does_not_exist(client_of, attention, tmp_path) -> None:
    expect_kept(client_of(f"unix://{tmp_path}/none.sock").score(attention, 1.0), "network")


def test_a_host_without_a_name(client_of, attention) -> None:
    expect_kept(client_of("http://nowhere.invalid").score(attention, 1.0), "network")


def test_a_name_that_is_looked_up_for_ever(client_of, attention, monkeypatch) -> None:
    """The system call takes no timeout."""
    found, real = threading.Event(), socket.getaddrinfo

    def look_up(*arguments, **options):
        if not options.get("flags"):
            found.wait()
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    expect_kept(client_of("http://localhost:1").score(attention, 1.0, deadline_ms=200), "timeout")
    assert time.monotonic() - started < 5
    found.set()


def test_the_remaining_time_is_sent_to_the_service(client_of, attention, fake_server, read_request) -> None:
    heads: list[str] = []
    client = client_of(fake_server(lambda connection: heads.append(read_request(connection)[0])).origin, retries=0)
    client.score(attention, 1.0, deadline_ms=10_000)
    left = next(float(line.split(":")[1]) for line in heads[0].split("\r\n") if line.startswith("x-deadline-ms"))
    assert 0 < left <= 9500


def test_an_error_in_on_problem_is_ignored(client_of, attention) -> None:
    def hook(failure: object) -> None:
        raise RuntimeError("the hook is broken")

    expect_kept(client_of(UNUSED_ORIGIN, on_problem=hook).score(attention, 1.0), "network")


def test_a_closed_client_keeps_every_sample(client_of, attention) -> None:
    client = client_of(UNUSED_ORIGIN)
    client.score(attention, 1.0)
    client.close()
    client.close()
    expect_kept(client.score(attention, 1.0), "closed")


def test_close_ends_calls_that_run_and_calls_that_wait_for_a_connection(client_of, attention, fake_server) -> None:
    received, silence = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        received.set()
        silence.wait()

    client = client_of(fake_server(handle).origin, connections=2, deadline_ms=LONG_MS)
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(client.score, attention, 1.0) for _ in range(6)]
        received.wait()
        time.sleep(0.2)
        client.close()
        for call in calls:
            expect_kept(call.result(30), "closed")
    silence.set()


def test_a_cancelled_call_of_asyncio_ends_its_request(attention, fake_server) -> None:
    received, ended = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        received.set()
        while connection.recv(65536):
            pass
        ended.set()

    async def cancel() -> None:
        async with AsyncProbeClient(fake_server(handle).origin, deadline_ms=LONG_MS) as client:
            call = asyncio.create_task(client.score(attention, 1.0))
            while not received.is_set():
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(ended.wait, 30)
            assert client.failures == {}

    asyncio.run(cancel())


def test_one_client_in_several_event_loops(attention, fake_server, respond, scored_response) -> None:
    client = AsyncProbeClient(fake_server(respond(scored_response())).origin)
    for _ in range(2):
        assert asyncio.run(client.score(attention, 1.0)).outcome == "scored"
    asyncio.run(client.close())


def test_an_answer_while_the_server_reads_no_further(client_of, fake_server) -> None:
    """The body is larger than what the system takes without a reader."""
    silence = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        silence.wait()

    client = client_of(fake_server(handle).origin, on_mistake="keep")
    outcome = client.score(np.zeros((16, 8, 64, 64, 64), np.float16), 1.0)
    assert (outcome.reason, outcome.error.status, len(outcome.decisions)) == ("refused", 413, 16)
    silence.set()


def test_an_answer_after_an_early_hint_is_not_taken_for_the_next_one(client_of, attention, fake_server, read_request) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        read_request(connection)

    server = fake_server(handle)
    client = client_of(server.origin)
    assert [client.score(attention, 1.0).reason for _ in range(2)] == ["refused"] * 2
    assert server.connections == 2
