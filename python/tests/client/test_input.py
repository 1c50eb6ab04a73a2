"""A wrong argument raises an error that says which it is, what was received and what was expected. Nothing is sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from diffusion_probe.client import InvalidInputError, ProbeClient

UNUSED_ORIGIN = "http://127.0.0.1:1"
ATTENTION = np.full((3, 2, 4, 5, 5), 0.25, np.float16)

NO_ORIGINS = ["127.0.0.1:8080", "ftp://host", "http://", "http://host:x", "http://host?a=b", "http://host#a", "http://user@host"]
NO_SOCKETS = ["unix://host", "unix:///"]
TENSOR = "expected a NumPy array or a torch tensor of "
NOT_A_VALUE = "is not a valid value: expected a text without line breaks, in Latin-1"
FLOATS = "float16 or bfloat16 or float32"

MISTAKES = [
    (
        {"attention": ATTENTION.tolist()},
        f"attention is a list: {TENSOR}{FLOATS}",
    ),
    (
        {"attention": ATTENTION.astype(np.float64)},
        f"attention is float64: {TENSOR}{FLOATS}",
    ),
    ({"attention": ATTENTION[0]}, "attention is [2, 4, 5, 5]: expected [batch, layers, tokens, height, width], none of them 0"),
    ({"attention": ATTENTION[:0]}, "attention is [0, 2, 4, 5, 5]: expected"),
    ({"timestep": "778"}, "timestep is a str: expected a number, or [3], one per sample"),
    ({"timestep": float("nan")}, "timestep is nan: expected a finite number"),
    ({"timestep": np.zeros(2, np.float32)}, "timestep is [2]: expected a number, or [3], one per sample"),
    ({"token_mask": np.ones((3, 5), np.uint8)}, "token_mask is [3, 5]: expected [3, 4], batch and tokens of attention"),
    (
        {"token_mask": np.ones((3, 4))},
        f"token_mask is float64: {TENSOR}bool or uint8",
    ),
    ({"token_mask": np.full((3, 4), 256)}, "token_mask is from 256 to 256: expected 0 and 1"),
    ({"signals": {"hint": np.zeros((2, 1), np.float32)}}, "hint is [2, 1]: expected [3, ...], one row per sample"),
    ({"signals": {"timestep": np.zeros(3, np.float32)}}, "signals is timestep: expected names other than"),
    ({"sample_ids": ["a", "b"]}, "sample_ids is ['a', 'b']: expected 3 texts, one per sample"),
    ({"sample_ids": "abc"}, "sample_ids is 'abc': expected 3 texts, one per sample"),
    ({"policy": "top_k"}, "policy is 'top_k': expected an object with a name"),
    ({"policy": {"name": "top_k", "k": float("inf")}}, "policy is {'name': 'top_k', 'k': inf}: expected a JSON object"),
    ({"step": 0}, "step is 0: expected a whole number from 1"),
    ({"total_steps": 2.5}, "total_steps is 2.5: expected a whole number from 1"),
    ({"model": 1}, "model is a int: expected a text"),
    ({"deadline_ms": 0}, "deadline_ms is 0: expected a number of milliseconds above 0, at most 2147483647"),
]


@pytest.mark.parametrize(
    ("given", "message"), MISTAKES, ids=[f"{next(iter(given))}-{i}" for i, (given, _) in enumerate(MISTAKES)]
)
def test_mistakes_in_score(client_of, given: dict[str, Any], message: str) -> None:
    client = client_of(UNUSED_ORIGIN)
    assert client.mistakes == 0
    with pytest.raises(InvalidInputError) as mistake:
        client.score(**{"attention": ATTENTION, "timestep": 1.0, **given})
    assert isinstance(mistake.value, ValueError)
    assert str(mistake.value).startswith(message)
    assert mistake.value.field in message
    assert (client.mistakes, client.problems) == (1, [])


def test_an_unknown_option(client_of) -> None:
    with pytest.raises(TypeError, match="unknown option tokens: expected token_mask"):
        client_of(UNUSED_ORIGIN).score(ATTENTION, 1.0, tokens=ATTENTION)


@pytest.mark.parametrize(
    ("receipts", "quality", "message"),
    [
        ([], 1.0, "receipts is []"),
        ([1], 1.0, "receipts is [1]"),
        (["x"] * 1001, 1.0, "receipts is ['x'"),
        (["x", "y"], [1.0], "quality is 1 values: expected one number, or one per receipt: 2"),
        (["x"], float("nan"), "quality is nan: expected a finite number"),
        (["x"], [None], "quality is None: expected a finite number"),
    ],
)
def test_mistakes_in_feedback(client_of, receipts: Any, quality: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as mistake:
        client_of(UNUSED_ORIGIN).feedback(receipts, quality)
    assert str(mistake.value).startswith(message)


@pytest.mark.parametrize(
    "origin",
    [
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://host?a=b",
        "http://user@host",
        "http://host:x",
        "unix://host",
        "unix:///",
        8080,
    ],
)
def test_mistakes_in_the_origin(origin: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"origin is .*: expected http://host:port"):
        ProbeClient(origin)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"deadline_ms": -1}, "deadline_ms is -1: expected a number of milliseconds above 0, at most 2147483647"),
        ({"connections": 0}, "connections is 0: expected a whole number from 1"),
        ({"retries": None}, "retries is None: expected a whole number from 0"),
        ({"on_mistake": "ignore"}, "on_mistake is 'ignore': expected 'raise' or 'keep'"),
        (
            {"headers": {"a b": "c"}},
            "headers is 'a b': expected names of HTTP headers other than connection, content-length, "
            "content-type, transfer-encoding, x-deadline-ms",
        ),
        (
            {"headers": {"a": "secret\r\nb: c"}},
            "headers['a'] is not a valid value: expected a text without line breaks, in Latin-1",
        ),
        ({"api_key": "secret\n"}, f"api_key {NOT_A_VALUE}"),
        (
            {"ca_file": "ca.pem"},
            f"origin is {UNUSED_ORIGIN!r}: expected https://, as there is a ca_file or a client_certificate",
        ),
        ({"breaker_seconds": float("nan")}, "breaker_seconds is nan: expected a number from 0"),
    ],
)
def test_mistakes_in_the_settings(client_of, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as mistake:
        client_of(UNUSED_ORIGIN, **settings)
    assert str(mistake.value) == message


def test_correct_arguments_are_sent_unchanged(client_of, fake_server, read_request) -> None:
    bodies: list[bytes] = []
    client = client_of(fake_server(lambda connection: bodies.append(read_request(connection)[1])).origin, retries=0)
    strided = np.asfortranarray(np.random.default_rng(0).random((3, 2, 4, 5, 5), np.float32))
    hint = np.arange(6).reshape(3, 2)
    client.score(
        strided, np.array([1.0, 2.0, 3.0]), token_mask=np.eye(3, 4, dtype=bool), signals={"hint": hint}, step=np.int64(5)
    )
    client.feedback(["a", "b"], 0.5)
    tensors = load(bodies[0])
    assert np.array_equal(tensors["attention"], strided)
    assert np.array_equal(tensors["token_mask"], np.eye(3, 4, dtype=np.uint8))
    assert np.array_equal(tensors["timestep"], np.array([1, 2, 3], np.float32))
    assert np.array_equal(tensors["hint"], hint)
    header = json.loads(bodies[0][8 : 8 + int.from_bytes(bodies[0][:8], "little")])
    assert header["__metadata__"] == {"step": "5"}
    assert json.loads(bodies[1]) == {"feedback": [{"receipt": "a", "quality": 0.5}, {"receipt": "b", "quality": 0.5}]}
