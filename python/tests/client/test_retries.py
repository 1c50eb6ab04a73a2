"""Which requests are retried, and when the circuit breaker opens."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable

import pytest

from diffusion_probe.client.circuit_breaker import CircuitBreaker


def in_turn(*handlers: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """Each connection gets the next handler; the last one handles all further connections."""
    order = itertools.chain(handlers, itertools.repeat(handlers[-1]))

    def handle(connection: socket.socket) -> None:
        next(order)(connection)

    return handle


def reset(connection: socket.socket) -> None:
    """Close the connection with a TCP reset."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_connection_that_breaks_before_a_response_is_retried(
    client_of, attention, fake_server, respond, scored_response
) -> None:
    server = fake_server(in_turn(reset, lambda connection: connection.close(), respond(scored_response())))
    assert client_of(server.origin).score(attention, 1.0).outcome == "scored"
    assert server.connections == 3


def test_retries_are_limited(client_of, attention, fake_server) -> None:
    server = fake_server(reset)
    assert client_of(server.origin, retries=1).score(attention, 1.0).reason == "network"
    assert server.connections == 2


def test_feedback_that_may_have_arrived_is_not_retried(client_of, fake_server) -> None:
    server = fake_server(reset)
    assert client_of(server.origin).feedback(["x"], 0.5) is None
    assert server.connections == 1


def test_a_response_that_breaks_off_is_not_retried(client_of, attention, fake_server, read_request) -> None:
    def half(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    server = fake_server(half)
    assert client_of(server.origin).score(attention, 1.0).reason == "network"
    assert server.connections == 1


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("path", ["score", "feedback"])
def test_a_429_or_503_with_retry_after_is_retried(
    client_of, attention, fake_server, respond, scored_response, path: str, status: str
) -> None:
    taken = scored_response() if path == "score" else {"accepted": 1, "refused": []}
    server = fake_server(in_turn(respond(b"", status, "retry-after: 0"), respond(taken)))
    client = client_of(server.origin)
    assert client.score(attention, 1.0).outcome == "scored" if path == "score" else client.feedback(["x"], 0.5).accepted == 1
    assert server.connections == 2


@pytest.mark.parametrize("headers", [[], ["retry-after: 3600"], ["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"]], ids=str)
def test_a_503_without_a_usable_retry_after_is_not_retried(
    client_of, attention, fake_server, respond, headers: list[str]
) -> None:
    server = fake_server(respond(b"", "503 Service Unavailable", *headers))
    assert client_of(server.origin).score(attention, 1.0).reason == "refused"
    assert server.connections == 1


def test_failures_in_a_row_open_the_circuit(client_of, attention, fake_server, respond) -> None:
    server = fake_server(respond(b"", "500 Internal Server Error"))
    client = client_of(server.origin, breaker_failures=3, breaker_seconds=3600)
    reasons = [client.score(attention, 1.0).reason for _ in range(5)]
    assert reasons == ["refused"] * 3 + ["circuit_open"] * 2
    assert client.models() is None
    assert server.connections == 3


def test_a_successful_trial_closes_the_circuit(client_of, attention, fake_server, respond, scored_response) -> None:
    server = fake_server(in_turn(respond(b"", "500 Internal Server Error"), respond(scored_response())))
    client = client_of(server.origin, breaker_failures=1, breaker_seconds=0)
    assert client.score(attention, 1.0).reason == "refused"
    assert [client.score(attention, 1.0).outcome for _ in range(3)] == ["scored"] * 3


def test_refusals_do_not_open_the_circuit(client_of, attention, fake_server, respond) -> None:
    """A refused request is a mistake of the caller: the service works."""
    client = client_of(fake_server(respond(b"", "422 Unprocessable Entity")).origin, breaker_failures=1)
    assert [client.score(attention, 1.0).reason for _ in range(3)] == ["refused"] * 3


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_trial_at_a_time_and_a_failed_one_opens_the_circuit_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(2, 10.0, clock)
    for _ in range(2):
        assert breaker.allow_request()
        breaker.record_failure()
    assert not breaker.allow_request()
    clock.now = 10.0
    assert breaker.allow_request()
    assert not breaker.allow_request(), "a trial is under way"
    breaker.record_failure()
    clock.now = 19.0
    assert not breaker.allow_request()
    clock.now = 20.0
    assert breaker.allow_request()
    breaker.record_cancellation()
    assert breaker.allow_request(), "a cancelled trial is neither success nor failure"
    breaker.record_success()
    assert breaker.allow_request()
    breaker.record_failure()
    assert breaker.allow_request(), "failures are counted from the last success"


def test_the_circuit_breaker_can_be_switched_off() -> None:
    breaker = CircuitBreaker(0, 10.0, Clock())
    for _ in range(100):
        assert breaker.allow_request()
        breaker.record_failure()
