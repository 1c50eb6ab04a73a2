"""Many calls through slow, dead, refusing and recovering servers. At the end every call must be scored, and sockets, threads and
memory must be what they were: `python -m tests.client.soak --calls 10000`, in the folder python. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_probe.client import AsyncProbeClient, ProbeClient
from diffusion_probe.progress import Progress

from .hostile_server import HostileServer

CALLERS = 24  # more than the connections
CALLS_PER_WEATHER, LAST_CALLS = 50, 100
FIRST_SHARE = 0.3  # of the calls: what the process needs is there after them
PATIENT_MS = 30_000.0  # for the last calls: on a busy machine a good answer may take longer than the short deadline of the others
MEMORY_BYTES = 24 << 20  # may be added after the first share: allocators keep some
DEADLINE_MS = 60.0
SETTINGS = {"connections": 8, "breaker_seconds": 0.03, "on_mistake": "keep", "on_problem": lambda failure: None}
ATTENTION = np.full((3, 2, 4, 5, 5), 0.25, np.float16)
BODIES = json.loads((Path(__file__).parents[3] / "test" / "client-cases.json").read_text())["bodies"]

GOOD = {"body": "scored"}
WEATHERS: list[list[dict[str, Any]] | None] = [
    [GOOD],
    [{"delay_ms": 20, "body": "scored"}],
    [{"delay_ms": 90, "body": "scored"}],
    [{"fault": "silence"}],
    [{"status": 503, "headers": {"retry-after": "0"}, "body": "overloaded"}, GOOD],
    [{"status": 429, "body": "tenant_limit"}],
    [{"status": 422, "body": "foreign_capture"}],
    [{"status": 500, "body": "internal"}],
    [{"at": "head", "status": 413, "body": "body_too_large"}],
    [{"fault": "close"}],
    [{"fault": "reset"}],
    [{"fault": "garbage"}],
    [{"body": "scored", "cut_after": 20}],
    [{"body": "scored", "then": "close"}],
    [{"drip_ms": 5, "body": "scored"}],
    None,  # the server is dead
]

Parts = Sequence[tuple[int, float]]  # how many calls, and their deadline in milliseconds


class Weather:
    """Changes what the server does after every so many calls."""

    def __init__(self, server: HostileServer, progress: Progress):
        self._server, self._progress = server, iter(progress)
        self._lock = threading.Lock()
        self._calls = 0
        self._is_dead = self._is_clear = False

    def count(self) -> None:
        """One more call is made."""
        with self._lock:
            next(self._progress, None)
            if self._is_clear:
                return
            if self._calls % CALLS_PER_WEATHER == 0:
                self._change(WEATHERS[self._calls // CALLS_PER_WEATHER % len(WEATHERS)])
            self._calls += 1

    def clear(self) -> None:
        """From now on the server works."""
        self._is_clear = True
        self._change([GOOD])

    def _change(self, replies: list[dict[str, Any]] | None) -> None:
        """None: the server dies."""
        if replies is None:
            self._server.stop()
        else:
            self._server.replies = list(replies)
            if self._is_dead:
                self._server.start()
        self._is_dead = replies is None


def from_threads(origin: str, count: Callable[[], None], calls: Parts, between: Callable[[], None]) -> list[str]:
    """What calls of a ProbeClient saw, in parts; between two parts `between` is called."""
    outcomes: list[str] = []

    def call(deadline_ms: float) -> str:
        count()
        outcome = seen_of(client.score(ATTENTION, 1.0, deadline_ms=deadline_ms))
        time.sleep(pause_after(outcome))
        return outcome

    with ProbeClient(origin, **SETTINGS) as client, ThreadPoolExecutor(CALLERS) as threads:
        for part, deadline_ms in calls:
            outcomes += threads.map(call, [deadline_ms] * part)
            between()
        check_counts(client, outcomes)
    return outcomes


async def from_asyncio(origin: str, count: Callable[[], None], calls: Parts, between: Callable[[], None]) -> list[str]:
    """The same with an AsyncProbeClient."""
    outcomes: list[str] = []
    slots = asyncio.Semaphore(CALLERS)

    async def call(deadline_ms: float) -> str:
        async with slots:
            count()
            outcome = seen_of(await client.score(ATTENTION, 1.0, deadline_ms=deadline_ms))
            await asyncio.sleep(pause_after(outcome))
            return outcome

    async with AsyncProbeClient(origin, **SETTINGS) as client:
        for part, deadline_ms in calls:
            outcomes += await asyncio.gather(*(call(deadline_ms) for _ in range(part)))
            between()
        check_counts(client, outcomes)
    return outcomes


def seen_of(outcome: Any) -> str:
    """`scored`, or the reason of a failure, which must keep every sample."""
    assert outcome.outcome == "scored" or outcome.decisions == ("keep",) * 3, outcome
    return getattr(outcome, "reason", "scored")


def pause_after(outcome: str) -> float:
    """Seconds. Without a pause most calls would be those that an open circuit ends at once."""
    return SETTINGS["breaker_seconds"] if outcome == "circuit_open" else 0.0


def check_counts(client: Any, outcomes: Sequence[str]) -> None:
    """Every failure is counted."""
    assert client.failures == Counter(outcome for outcome in outcomes if outcome != "scored")


def resources() -> tuple[int, int, int]:
    """Open files, threads, and bytes of memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE")


def soak(kind: str, calls: int) -> str:
    """Run one of the two clients. Returns a line about it. Raises AssertionError."""
    first = int(calls * FIRST_SHARE)
    memory: list[int] = []
    progress = Progress(f"soak {kind}", 0, calls, unit="call")  # it has a thread of its own
    before = resources()
    server = HostileServer([GOOD], BODIES)
    weather = Weather(server, progress)
    # The single call closes the circuit.
    parts = [(first, DEADLINE_MS), (calls - first, DEADLINE_MS), (1, PATIENT_MS), (LAST_CALLS, PATIENT_MS)]

    def between() -> None:
        memory.append(resources()[2])
        if len(memory) == 2:  # the weather clears for the last part
            weather.clear()
            time.sleep(SETTINGS["breaker_seconds"] * 2)

    run = (server.origin, weather.count, parts, between)
    outcomes = from_threads(*run) if kind == "sync" else asyncio.run(from_asyncio(*run))
    server.stop()
    seen = Counter(outcomes[-LAST_CALLS:])
    assert seen == {"scored": LAST_CALLS}, seen
    assert memory[1] - memory[0] < MEMORY_BYTES, f"{memory[1] - memory[0]} bytes were added"
    wait_for_end(before[:2])
    return f"{kind}: {len(outcomes)} calls, {memory[1] - memory[0]:,} bytes added, {dict(Counter(outcomes))}"


def wait_for_end(before: tuple[int, ...], seconds: float = 20.0) -> None:
    """The server's threads notice the end of a connection somewhat later."""
    ends = time.monotonic() + seconds
    # Fewer are fine: earlier tests of the process may leave some to the garbage collector.
    while not all(now <= then for now, then in zip(resources(), before, strict=False)):
        assert time.monotonic() < ends, f"files and threads: {before} before, {resources()[:2]} after"
        time.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Both clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="of each client")
    calls = parser.parse_args(arguments).calls
    print(soak("sync", calls), soak("async", calls), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
