"""When the circuit breaker opens and closes. What is a fault is in test/client-cases.json."""

from __future__ import annotations

from diffusion_probe.client.circuit_breaker import CircuitBreaker


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
        breaker.record_fault()
    assert not breaker.allow_request()
    clock.now = 10.0
    assert breaker.allow_request()
    assert not breaker.allow_request(), "a trial is under way"
    breaker.record_fault()
    clock.now = 19.0
    assert not breaker.allow_request()
    clock.now = 20.0
    assert breaker.allow_request()
    breaker.record_cancellation()
    assert breaker.allow_request(), "a cancelled trial is neither answer nor fault"
    breaker.record_answer()
    assert breaker.allow_request()
    breaker.record_fault()
    assert breaker.allow_request(), "faults are counted from the last answer"


def test_the_circuit_breaker_can_be_switched_off() -> None:
    breaker = CircuitBreaker(0, 10.0, Clock())
    for _ in range(100):
        assert breaker.allow_request()
        breaker.record_fault()
