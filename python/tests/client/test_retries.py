"""What is sent again and what is not, and when the client stops asking."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable

import pytest

from diffusion_probe.client.circuit_breaker import CircuitBreaker


def in_turn(*handlers: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """One handler after the other; the last for all that follow."""
    order = itertools.chain(handlers, itertools.repeat(handlers[-1]))

    def handle(connection: socket.socket) -> None:
        next(order)(connection)

    return handle


def reset(connection: socket.socket) -> None:
    """Hang up without a word, the hard way."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_connection_that_breaks_before_an_answer_is_tried_again(client_of, attention, impostor, speak, scored) -> None:
    server = impostor(in_turn(reset, lambda connection: connection.close(), speak(scored())))
    assert client_of(server.origin).score(attention, 1.0).outcome == "scored"
    assert server.connections == 3


def test_tries_are_counted(client_of, attention, impostor) -> None:
    server = impostor(reset)
    assert client_of(server.origin, retries=1).score(attention, 1.0).reason == "network"
    assert server.connections == 2


def test_feedback_that_may_have_arrived_is_not_sent_again(client_of, impostor) -> None:
    server = impostor(reset)
    assert client_of(server.origin).feedback(["x"], 0.5) is None
    assert server.connections == 1


def test_an_answer_that_breaks_off_is_not_asked_for_again(client_of, attention, impostor, listen) -> None:
    def half(connection: socket.socket) -> None:
        listen(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    server = impostor(half)
    assert client_of(server.origin).score(attention, 1.0).reason == "network"
    assert server.connections == 1


@pytest.mark.parametrize("path", ["score", "feedback"])
def test_a_busy_service_is_asked_again_when_it_says_when(client_of, attention, impostor, speak, scored, path: str) -> None:
    taken = scored() if path == "score" else {"accepted": 1, "refused": []}
    server = impostor(in_turn(speak(b"", "503 Service Unavailable", "retry-after: 0"), speak(taken)))
    client = client_of(server.origin)
    assert client.score(attention, 1.0).outcome == "scored" if path == "score" else client.feedback(["x"], 0.5).accepted == 1
    assert server.connections == 2


@pytest.mark.parametrize("headers", [[], ["retry-after: 3600"], ["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"]], ids=str)
def test_a_busy_service_that_asks_for_too_long_is_left_alone(client_of, attention, impostor, speak, headers: list[str]) -> None:
    server = impostor(speak(b"", "503 Service Unavailable", *headers))
    assert client_of(server.origin).score(attention, 1.0).reason == "refused"
    assert server.connections == 1


def test_after_failures_in_a_row_nobody_waits(client_of, attention, impostor, speak) -> None:
    server = impostor(speak(b"", "500 Internal Server Error"))
    client = client_of(server.origin, breaker_failures=3, breaker_seconds=3600)
    reasons = [client.score(attention, 1.0).reason for _ in range(5)]
    assert reasons == ["refused"] * 3 + ["circuit_open"] * 2
    assert client.models() is None
    assert server.connections == 3


def test_a_trial_that_succeeds_closes_the_circuit(client_of, attention, impostor, speak, scored) -> None:
    server = impostor(in_turn(speak(b"", "500 Internal Server Error"), speak(scored())))
    client = client_of(server.origin, breaker_failures=1, breaker_seconds=0)
    assert client.score(attention, 1.0).reason == "refused"
    assert [client.score(attention, 1.0).outcome for _ in range(3)] == ["scored"] * 3


def test_refusals_do_not_open_the_circuit(client_of, attention, impostor, speak) -> None:
    """They are the caller's mistakes, and the service works."""
    client = client_of(impostor(speak(b"", "422 Unprocessable Entity")).origin, breaker_failures=1)
    assert [client.score(attention, 1.0).reason for _ in range(3)] == ["refused"] * 3


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_trial_at_a_time_and_a_failed_one_opens_again() -> None:
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
    assert breaker.allow_request(), "a trial that was given up taught nothing"
    breaker.record_success()
    assert breaker.allow_request()
    breaker.record_failure()
    assert breaker.allow_request(), "failures are counted from the last success"


def test_a_breaker_can_be_switched_off() -> None:
    breaker = CircuitBreaker(0, 10.0, Clock())
    for _ in range(100):
        assert breaker.allow_request()
        breaker.record_failure()
