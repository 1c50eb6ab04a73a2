"""Both clients and LocalProbe against the real service."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from diffusion_probe.client import InvalidInputError, RefusedReceipt
from diffusion_probe.local import LocalProbe

ROOT = Path(__file__).parents[3]
CLOSE = 1e-3


def test_a_group_is_scored_with_every_option(client_of, service, group) -> None:
    tensors, metadata = group
    client = client_of(service.origin)
    outcome = client.score(
        tensors["attention"],
        tensors["timestep"],
        token_mask=tensors["token_mask"],
        model=metadata["model"],
        policy={"name": "top_k", "k": 2, "explore": {"rate": 0}},
        group="a prompt",
        sample_ids=[f"seed {index}" for index in range(8)],
        step=int(metadata["step"]),
        total_steps=int(metadata["total_steps"]),
        capture_id=metadata["capture_id"],
    )
    assert outcome.outcome == "scored"
    assert (outcome.model, outcome.provider, outcome.policy["name"]) == ("pictogram", "cpu", "top_k")
    assert outcome.decisions.count("keep") == 2
    assert [result.id for result in outcome.results] == [f"seed {index}" for index in range(8)]
    assert sorted(result.rank for result in outcome.results) == list(range(1, 9))
    assert all(result.would_drop == (result.decision == "drop") and result.receipt for result in outcome.results)
    assert client.problems == []


def test_the_probe_in_process_gives_the_same_scores(client_of, service, group) -> None:
    tensors, _ = group
    outcome = client_of(service.origin).score(tensors["attention"], tensors["timestep"], token_mask=tensors["token_mask"])
    local = LocalProbe(ROOT / "models" / outcome.model / str(outcome.version), threads=1)
    scores = [result.score for result in outcome.results]
    assert np.ptp(scores) > 10 * CLOSE, "equal scores would prove nothing"
    inputs = {"attention": tensors["attention"], "timestep": float(tensors["timestep"][0])}
    np.testing.assert_allclose(local.score(**inputs, token_mask=tensors["token_mask"]), scores, atol=CLOSE)


def test_masked_tokens_are_ignored_in_process_too(client_of, service, group) -> None:
    tensors, _ = group
    attention, mask = tensors["attention"].copy(), tensors["token_mask"].copy()
    mask[:, -2:] = 0
    attention[:, :, -2:] = np.nan
    outcome = client_of(service.origin).score(attention, tensors["timestep"], token_mask=mask)
    local = LocalProbe(ROOT / "models" / outcome.model / str(outcome.version), threads=1)
    scores = local.score(attention, tensors["timestep"], token_mask=mask)
    np.testing.assert_allclose(scores, [result.score for result in outcome.results], atol=CLOSE)


def test_the_probe_in_process_names_the_wrong_input(group) -> None:
    tensors, _ = group
    local = LocalProbe(ROOT / "models" / "pictogram" / "2", threads=1)
    layers = tensors["attention"].shape[1]
    with pytest.raises(InvalidInputError, match=rf"attention is \[8, {layers - 1}, .*: expected \[8, {layers}, "):
        local.score(tensors["attention"][:, 1:], 1.0)
    with pytest.raises(InvalidInputError, match="hint is given: expected the tensors attention"):
        local.score(tensors["attention"], 1.0, signals={"hint": np.zeros((8, 1), np.float32)})
    with pytest.raises(FileNotFoundError, match=r"no probe\.json in"):
        LocalProbe("nowhere")


def test_feedback_counts_each_receipt_once(client_of, service, group) -> None:
    tensors, _ = group
    client = client_of(service.origin)
    outcome = client.score(tensors["attention"], tensors["timestep"], policy={"name": "score_only"})
    receipts = [result.receipt for result in outcome.results]
    assert client.feedback(receipts, np.linspace(0, 1, 8)).accepted == 8
    again = client.feedback(receipts[:1], 0.5)
    assert (again.accepted, again.refused) == (0, (RefusedReceipt(0, "repeated"),))
    assert client.problems == []


def test_the_probes_of_the_service_are_listed(client_of, service, group) -> None:
    _, metadata = group
    models = client_of(service.origin).models()
    serving = next(model for model in models if model.state == "serving")
    assert serving.name == "pictogram"
    assert serving.contract["capture_id"] == metadata["capture_id"]


def test_the_service_can_be_reached_through_a_unix_socket(client_of, service, group, fake_server, tmp_path) -> None:
    address = urlsplit(service.origin)

    def forward(connection: socket.socket) -> None:
        with socket.create_connection((address.hostname, address.port)) as onward:
            back = threading.Thread(target=_forward, args=(onward, connection), daemon=True)
            back.start()
            _forward(connection, onward)
            back.join()

    tensors, _ = group
    client = client_of(fake_server(forward, tmp_path / "probe.sock").origin)
    assert client.score(tensors["attention"], tensors["timestep"]).outcome == "scored"
    assert client.problems == []


def _forward(source: socket.socket, target: socket.socket) -> None:
    while chunk := source.recv(65536):
        target.sendall(chunk)
    target.shutdown(socket.SHUT_WR)
