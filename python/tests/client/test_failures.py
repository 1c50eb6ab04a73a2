"""Failures of the service keep every sample, raise nothing and take no longer than the deadline."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from diffusion_probe.client import ProbeClient

KEEP_ALL = ("keep",) * 3
UNUSED_ORIGIN = "http://127.0.0.1:1"
SOON_MS = 200.0
LONG_SECONDS = 20.0  # far below the default deadline of these tests, and far above what a call takes

MALFORMED = [
    b"",
    b"no json",
    b"{}",
    b"[]",
    b"null",
    b'{"outcome":"scored"}',
    b'{"outcome":"scored","results":[]}',
    b'{"outcome":"maybe"}',
    b'{"outcome":"failed_open"}',
    b"\xff\xfe",
    b"[" * 100_000,
]

ODD_MEMBERS = [
    {"score": None},
    {"score": "0.5"},
    {"score": True},
    {"score": float("nan")},
    {"score": 10**400},
    {"decision": "maybe"},
    {"rank": 1.5},
    {"would_drop": 1},
    {"index": 0},
]


def expect_kept(outcome, reason: str) -> None:
    assert (outcome.outcome, outcome.reason, outcome.decisions, outcome.results) == ("failed_open", reason, KEEP_ALL, ())


def test_a_service_that_does_not_listen(client_of, attention) -> None:
    client = client_of(UNUSED_ORIGIN)
    expect_kept(client.score(attention, 1.0), "network")
    assert client.feedback(["x"], 0.5) is None
    assert client.models() is None
    assert [failure.reason for failure in client.problems] == ["network"] * 3
    assert client.problems[0].error is not None


def test_a_unix_socket_that_does_not_exist(client_of, attention, tmp_path) -> None:
    expect_kept(client_of(f"unix://{tmp_path}/none.sock").score(attention, 1.0), "network")


def test_a_service_that_does_not_answer_in_time(client_of, attention, fake_server) -> None:
    silence = threading.Event()
    client = client_of(fake_server(lambda connection: silence.wait()).origin)
    started = time.monotonic()
    expect_kept(client.score(attention, 1.0, deadline_ms=SOON_MS), "timeout")
    assert client.feedback(["x"], 0.5, deadline_ms=SOON_MS) is None
    assert time.monotonic() - started < LONG_SECONDS
    silence.set()


def test_a_response_that_arrives_byte_by_byte(client_of, attention, fake_server) -> None:
    """Each read succeeds soon, but the response never ends."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            connection.sendall(b"x")
            time.sleep(SOON_MS / 1000 / 10)

    started = time.monotonic()
    expect_kept(client_of(fake_server(drip).origin).score(attention, 1.0, deadline_ms=SOON_MS), "timeout")
    assert time.monotonic() - started < LONG_SECONDS


def test_the_remaining_time_is_sent_to_the_service(client_of, attention, fake_server, read_request) -> None:
    heads: list[str] = []
    client = client_of(fake_server(lambda connection: heads.append(read_request(connection)[0])).origin, retries=0)
    client.score(attention, 1.0, deadline_ms=10_000)
    left = next(float(line.split(":")[1]) for line in heads[0].split("\r\n") if line.startswith("x-deadline-ms"))
    assert 0 < left <= 9500


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:20]))
def test_a_malformed_response(client_of, attention, fake_server, respond, text: bytes) -> None:
    client = client_of(fake_server(respond(text)).origin)
    expect_kept(client.score(attention, 1.0), "malformed_answer")
    assert client.feedback(["x"], 0.5) is None
    assert client.models() is None


@pytest.mark.parametrize("members", ODD_MEMBERS, ids=lambda members: str(members)[:30])
def test_a_malformed_result(client_of, attention, fake_server, respond, scored_response, members: dict) -> None:
    expect_kept(client_of(fake_server(respond(scored_response(**members))).origin).score(attention, 1.0), "malformed_answer")


def test_a_response_for_another_number_of_samples(client_of, attention, fake_server, respond, scored_response) -> None:
    expect_kept(client_of(fake_server(respond(scored_response(2))).origin).score(attention, 1.0), "malformed_answer")


def test_additions_of_a_newer_service_are_ignored(client_of, attention, fake_server, respond, scored_response) -> None:
    outcome = client_of(fake_server(respond({**scored_response(override="new", reason="new", extra=1), "news": 1})).origin).score(
        attention, 1.0
    )
    assert (outcome.outcome, outcome.decisions) == ("scored", ("drop",) * 3)


def test_an_endless_response_is_abandoned(client_of, attention, fake_server, read_request) -> None:
    def flood(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    expect_kept(client_of(fake_server(flood).origin).score(attention, 1.0), "network")


@pytest.mark.parametrize("reason", ["overloaded", "tenant_limit"])
def test_the_reason_of_a_service_that_fails_open_is_returned(client_of, attention, fake_server, respond, reason) -> None:
    client = client_of(fake_server(respond({"outcome": "failed_open", "reason": reason})).origin)
    expect_kept(client.score(attention, 1.0), reason)


def test_an_error_page_of_a_proxy(client_of, attention, fake_server, respond) -> None:
    outcome = client_of(fake_server(respond(b"<html>", "502 Bad Gateway")).origin).score(attention, 1.0)
    expect_kept(outcome, "refused")
    assert str(outcome.error) == "the service answered with status 502"


def test_an_error_in_on_problem_is_ignored(client_of, attention) -> None:
    def hook(failure: object) -> None:
        raise RuntimeError("the hook is broken")

    expect_kept(client_of(UNUSED_ORIGIN, on_problem=hook).score(attention, 1.0), "network")


def test_a_closed_client_keeps_all_samples(attention) -> None:
    client = ProbeClient(UNUSED_ORIGIN)
    client.score(attention, 1.0)
    client.close()
    client.close()
    expect_kept(client.score(attention, 1.0), "closed")


def test_close_ends_running_calls(attention, fake_server) -> None:
    received, silence = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        received.set()
        silence.wait()

    client = ProbeClient(fake_server(handle).origin, deadline_ms=600_000)
    outcomes: list = []
    thread = threading.Thread(target=lambda: outcomes.append(client.score(attention, 1.0)))
    thread.start()
    received.wait()
    client.close()
    thread.join()
    expect_kept(outcomes[0], outcomes[0].reason)
    assert outcomes[0].reason in ("closed", "network")
    silence.set()
