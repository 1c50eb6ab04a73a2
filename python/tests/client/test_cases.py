"""Both clients see what test/client-cases.json says, which the TypeScript client sees too. Its member `about` explains it."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from diffusion_probe.client import InvalidInputError, RefusedError

from .hostile_server import HostileServer

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "test" / "client-cases.json").read_text())
DEADLINE_MS = 10_000.0


class Run:
    """The steps of one case."""

    def __init__(self, client: Any, server: HostileServer | None):
        self.server = server
        self.client = client
        self.receipts: list[str] = []

    def step(self, step: dict[str, Any]) -> None:
        if "wait_ms" in step:
            time.sleep(step["wait_ms"] / 1000)
        elif "server" in step:
            self._change_server(step["server"])
        elif step.get("at_once"):
            with concurrent.futures.ThreadPoolExecutor(step["times"]) as threads:
                list(threads.map(lambda _: self._call(step), range(step["times"])))
        else:
            for _ in range(step.get("times", 1)):
                self._call(step)

    def _change_server(self, change: Any) -> None:
        if isinstance(change, list):
            self.server.replies = list(change)
        else:
            getattr(self.server, change)()

    def _call(self, step: dict[str, Any]) -> None:
        expected = step["expect"]
        started = time.monotonic()
        before = dict(self.client.failures)
        if expected["outcome"] == "raised":
            with pytest.raises(RefusedError if expected["reason"] == "refused" else InvalidInputError) as mistake:
                self._answer(step)
            self._check_refusal(mistake.value, expected)
        else:
            self._check(self._answer(step), expected, before)
        if "within_ms" in expected:
            assert (time.monotonic() - started) * 1000 < expected["within_ms"]

    def _answer(self, step: dict[str, Any]) -> Any:
        options = dict(step.get("options", {}))
        if step["call"] == "models":
            return self.client.models(**options)
        if step["call"] == "feedback":
            receipts = self.receipts if step["receipts"] == "last" else step["receipts"]
            return self.client.feedback(receipts, 0.5, **options)
        if "example" in step:
            tensors = load_file(ROOT / "examples" / f"{step['example']}.safetensors")
            attention, timestep, options["token_mask"] = tensors["attention"], tensors["timestep"], tensors["token_mask"]
        else:
            attention, timestep = np.zeros(step.get("attention", [3, 2, 4, 5, 5]), np.float16), 1.0
        return self.client.score(attention, float(step["timestep"]) if "timestep" in step else timestep, **options)

    def _check(self, answer: Any, expected: dict[str, Any], before: dict[str, int]) -> None:
        outcome = "nothing" if answer is None else getattr(answer, "outcome", "answered")
        assert outcome == expected["outcome"], answer
        reasons = expected.get("reason", [])
        reasons = [reasons] if isinstance(reasons, str) else reasons
        if outcome == "failed_open":
            assert (answer.reason in reasons, answer.results) == (True, ()), answer
            self._check_refusal(answer.error, expected)
        if outcome == "nothing":
            assert sum(self.client.failures.get(reason, 0) - before.get(reason, 0) for reason in reasons) == 1
        if outcome == "scored":
            self.receipts = [result.receipt for result in answer.results if result.decision == "keep"]
        if "decisions" in expected:
            seen = set(answer.decisions)
            assert seen == ({"keep", "drop"} if expected["decisions"] == "mixed" else {expected["decisions"]})
        for name, value in (("accepted", None), ("refused", len)):
            if name in expected:
                given = getattr(answer, name)
                assert (value(given) if value else given) == expected[name]

    @staticmethod
    def _check_refusal(error: Any, expected: dict[str, Any]) -> None:
        if "status" in expected:
            assert error.status == expected["status"]
        if "code" in expected:
            assert error.problem.code == expected["code"]


@pytest.fixture(scope="module")
def service_with(start_service, tmp_path_factory):
    """A real service with the settings and keys of a case. Cases with the same share one."""
    started: dict[str, Any] = {}

    def start(wanted: dict[str, Any]) -> Any:
        name = json.dumps(wanted, sort_keys=True)
        if name not in started:
            settings = dict(wanted["settings"])
            if wanted.get("api_keys"):
                keys = tmp_path_factory.mktemp("keys") / "keys.json"
                hashes = [hashlib.sha256(key.encode()).hexdigest() for key in wanted["api_keys"]]
                keys.write_text(json.dumps({"keys": [{"id": f"key-{i}", "sha256": value} for i, value in enumerate(hashes)]}))
                settings["API_KEYS_FILE"] = str(keys)
            started[name] = start_service(ROOT / "models", **settings)
        return started[name]

    return start


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_a_case(case: dict[str, Any], client_of, service_with, caplog) -> None:
    settings = dict(case.get("client", {}))
    path = settings.pop("path", "")
    server = HostileServer(case["server"], CASES["bodies"]) if "server" in case else None
    origin = (server or service_with(case["service"])).origin
    with caplog.at_level(logging.INFO, "diffusion_probe.client"):
        run = Run(client_of(origin + path, **{"deadline_ms": DEADLINE_MS, "on_problem": None, **settings}), server)
        for step in case["steps"]:
            run.step(step)
    expected = case.get("expect", {})
    if server is not None:
        server.stop()
        requests = expected.get("requests")
        least, most = requests if isinstance(requests, list) else (requests, requests)
        assert requests is None or least <= len(server.paths) <= most
        assert sorted(set(server.paths)) == sorted(expected.get("paths", set(server.paths)))
    assert expected.get("failures", run.client.failures) == run.client.failures
    assert expected.get("mistakes", run.client.mistakes) == run.client.mistakes
    assert expected.get("logged", len(caplog.records)) == len(caplog.records)
