"""Both clients state how images are drawn: the fingerprint always, the document after an answer that does not know it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diffusion_probe.client import InvalidInputError
from diffusion_probe.fingerprint import fingerprint

CONDITIONS = {"dtype": "float16", "call": {"guidance_scale": 5.0}}


def metadata_of(body: bytes) -> dict[str, str]:
    length = int.from_bytes(body[:8], "little")
    return json.loads(body[8 : 8 + length])["__metadata__"]


@pytest.fixture
def recording_server(fake_server, read_request, scored_response):
    """A server that answers with the given states, one after the other, and records the metadata of each request."""

    def start(*states: str | None):
        received: list[dict[str, str]] = []

        def handle(connection) -> None:
            received.append(metadata_of(read_request(connection)[1]))
            state = states[len(received) - 1]
            answer = {**scored_response(), **({} if state is None else {"conditions": state})}
            body = json.dumps(answer).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

        return fake_server(handle).origin, received

    return start


def test_the_document_is_sent_while_the_service_does_not_know_it(client_of, recording_server, attention) -> None:
    origin, received = recording_server("unknown", "unknown", "foreign", "same", "unknown")
    client = client_of(origin)
    states = [client.score(attention, 500.0, conditions=CONDITIONS).conditions for _ in range(5)]
    assert states == ["unknown", "unknown", "foreign", "same", "unknown"]
    assert {metadata["conditions_id"] for metadata in received} == {fingerprint(CONDITIONS)}
    assert ["conditions" in metadata for metadata in received] == [False, True, True, False, False]
    assert json.loads(received[1]["conditions"]) == CONDITIONS


def test_a_fingerprint_alone_and_a_document_that_is_too_long(client_of, recording_server, attention) -> None:
    origin, received = recording_server(*["unknown"] * 4)
    client = client_of(origin)
    for _ in range(2):
        client.score(attention, 500.0, conditions_id="0123456789abcdef")
    for _ in range(2):
        client.score(attention, 500.0, conditions={"call": {"text": "x" * 40_000}})
    assert not any("conditions" in metadata for metadata in received)


def test_a_service_of_an_older_version_says_nothing(client_of, recording_server, attention) -> None:
    origin, received = recording_server(None)
    outcome = client_of(origin).score(attention, 500.0)
    assert (outcome.conditions, outcome.foreign_conditions) == ("unstated", ())
    assert "conditions_id" not in received[0]


@pytest.mark.parametrize("conditions", [[1], "text", {"a": float("nan")}, {"a": object()}, {1: 2}])
def test_conditions_that_are_no_json_object_are_refused(client_of, attention: np.ndarray, conditions) -> None:
    with pytest.raises(InvalidInputError, match="conditions"):
        client_of("http://127.0.0.1:9").score(attention, 500.0, conditions=conditions)


def test_the_service_compares_them_with_the_probes(client_of, service, group) -> None:
    tensors, metadata = group
    client = client_of(service.origin)
    contract = next(model.contract for model in client.models() if model.name == "pictogram")
    own = {"capture_id": metadata["capture_id"], "token_mask": tensors["token_mask"], "policy": {"name": "score_only"}}
    same = client.score(tensors["attention"], tensors["timestep"], conditions=contract["conditions"], **own)
    assert (same.conditions, same.foreign_conditions) == ("same", ())
    # A number of its own makes each client's document new to the service.
    other = {**contract["conditions"], "guidance": {"classifier_free": float(np.random.default_rng().random()), "embedded": None}}
    answers = [client.score(tensors["attention"], tensors["timestep"], conditions=other, **own) for _ in range(2)]
    assert [answer.conditions for answer in answers] == ["unknown", "foreign"]
    assert answers[1].foreign_conditions == ("guidance.classifier_free",)
