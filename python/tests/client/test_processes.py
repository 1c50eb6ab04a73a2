"""A client in other processes: after a fork, and pickled."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from diffusion_probe.client import AsyncProbeClient, ProbeClient, Problem, RefusedError

LIMIT_SECONDS = 30
FORKS = 20
ATTENTION = np.full((3, 2, 4, 5, 5), 0.25, np.float16)


def ignore(failure: object) -> None:
    """A function of a module can be pickled."""


def outcome_in_child(client: ProbeClient) -> int | None:
    """What a child process of a fork sees: 0 if its call is scored; None if it hangs."""
    child = os.fork()
    if child == 0:
        os._exit(0 if client.score(ATTENTION, 1.0).outcome == "scored" else 1)
    ends = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@pytest.fixture
def origin(fake_server, read_request, scored_response) -> str:
    """Of a server that answers all requests of a connection."""
    body = json.dumps(scored_response()).encode()

    def handle(connection) -> None:
        while True:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    return fake_server(handle).origin


@pytest.mark.filterwarnings("ignore:This process")
def test_children_that_are_forked_while_other_threads_are_in_calls(origin: str) -> None:
    """Another thread holds locks at any moment of the fork, and nobody releases them in the child."""
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            client.score(ATTENTION, 1.0)

    with ProbeClient(origin, deadline_ms=10_000) as client:
        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert [outcome_in_child(client) for _ in range(FORKS)] == [0] * FORKS
        assert client.score(ATTENTION, 1.0).outcome == "scored", "the parent's connections are as before"
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.filterwarnings("ignore:This process")
def test_a_lock_that_is_held_for_ever_in_the_child(origin: str) -> None:
    with ProbeClient(origin, deadline_ms=10_000) as client:
        client.score(ATTENTION, 1.0)
        pool, transport = client._here.endpoints._pool, client._here.endpoints._transport
        with pool._changed, transport._breaker._lock, client._here.failures._lock:
            assert outcome_in_child(client) == 0


def test_a_child_that_is_forked_during_the_first_call_of_a_process(origin: str) -> None:
    """What the first call imports, a child could not import if it were forked meanwhile."""
    script = """
import os, sys, threading
import numpy as np
from diffusion_probe.client import ProbeClient
before = set(sys.modules)
client = ProbeClient(sys.argv[1], deadline_ms=30_000)
client.score(np.zeros((3, 2, 4, 5, 5), np.float16), 1.0)
client.feedback(["x"], 0.5)
print(*sorted(set(sys.modules) - before))
"""
    address = origin.replace("127.0.0.1", "localhost")
    result = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("kind", [ProbeClient, AsyncProbeClient])
def test_a_pickled_client_is_its_arguments(kind: type, monkeypatch) -> None:
    monkeypatch.delenv("DIFFUSION_PROBE_API_KEY", raising=False)
    given = {"deadline_ms": 5.0, "connections": 2, "api_key": "key", "headers": {"x-team": "a"}, "on_mistake": "keep"}
    client = pickle.loads(pickle.dumps(kind("http://127.0.0.1:1/probe", on_problem=ignore, **given)))
    assert type(client) is kind
    assert client._settings.on_problem is ignore
    assert {name: getattr(client._settings, name) for name in given} == given


def test_a_client_in_a_process_that_is_spawned(origin: str) -> None:
    client = ProbeClient(origin, deadline_ms=30_000)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(partial(client.score, ATTENTION, 1.0)).outcome == "scored"


def test_a_function_that_cannot_be_pickled_is_named() -> None:
    client = ProbeClient("http://127.0.0.1:1", on_problem=lambda failure: None)
    with pytest.raises(pickle.PicklingError, match=r"on_problem cannot be pickled .*: give a function of a module"):
        pickle.dumps(client)


def test_a_key_is_not_shown() -> None:
    client = ProbeClient("http://127.0.0.1:1", api_key="secret-1", headers={"x-key": "secret-2"})
    assert "secret" not in repr(client._settings)


def test_errors_can_be_pickled() -> None:
    error = RefusedError(401, Problem("unauthorized", "title", 401, "detail"))
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.status, copy.problem, str(copy)) == (401, error.problem, "detail")
