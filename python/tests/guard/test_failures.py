"""After any failure the images equal those of the pipeline alone, and the result says what failed and why."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import numpy as np
import pytest
from diffusers import FirstBlockCacheConfig

from diffusion_probe.client import ProbeClient, SampleResult, ScoredGroup
from diffusion_probe.guard import ProbeGuard

UNUSED_ORIGIN = "http://127.0.0.1:1"
SOON_MS = 200.0
LONG_SECONDS = 20.0
PATIENT_MS = 60_000.0
MALFORMED = [b"", b"no json", b'{"outcome":"scored","results":[]}']


def expect_all_kept(result, unguarded: np.ndarray, reason: str) -> None:
    assert result.outcome == "failed_open"
    assert np.array_equal(np.stack(result.images), unguarded)
    assert {failure.reason for failure in result.failures} == {reason}
    assert {(sample.decision, sample.reason, sample.score) for sample in result.samples} == {("keep", reason, None)}


def receive_request(connection) -> None:
    """A whole request, of which the answer says nothing."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)


class ListingCounter:
    """A client that counts calls of `models`, of which the first ones fail."""

    def __init__(self, client: ProbeClient, failing: int = 0):
        self.score = client.score
        self.calls = 0
        self._client = client
        self._failing = failing

    def models(self, **options: Any) -> Any:
        self.calls += 1
        return self._client.models(**options) if self.calls > self._failing else None


@pytest.fixture
def folder(models):
    """The folder of a backbone's probe, so that the guard need not ask the service."""
    return lambda backbone: models / backbone.name / "1"


def test_a_service_that_is_down(backbone, folder, caplog) -> None:
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, ProbeClient(UNUSED_ORIGIN), probe=folder(backbone), deadline_ms=PATIENT_MS)
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        expect_all_kept(guard(**backbone.arguments()), unguarded, "network")
    assert "kept without a score at step 1: network" in caplog.text


def test_a_service_that_does_not_list_its_probes_is_asked_again(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    unguarded = backbone()
    counting = ListingCounter(client, failing=1)
    guard = ProbeGuard(backbone.pipe, counting, model="sd15", deadline_ms=PATIENT_MS)
    expect_all_kept(guard(**backbone.arguments()), unguarded, "no_probe")
    assert guard(**backbone.arguments()).outcome == "scored", "the next run asks again"


def test_a_service_that_is_slow(make_backbone, folder, fake_server) -> None:
    silence = threading.Event()
    backbone = make_backbone("sd15")
    unguarded = backbone()
    guard = ProbeGuard(
        backbone.pipe,
        ProbeClient(fake_server(lambda connection: silence.wait()).origin),
        probe=folder(backbone),
        deadline_ms=SOON_MS,
    )
    started = time.monotonic()
    expect_all_kept(guard(**backbone.arguments()), unguarded, "timeout")
    assert time.monotonic() - started < LONG_SECONDS
    silence.set()


@pytest.mark.parametrize("body", MALFORMED, ids=repr)
def test_a_service_that_sends_malformed_responses(make_backbone, folder, fake_server, body: bytes) -> None:
    def handle(connection) -> None:
        receive_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    backbone = make_backbone("flux")
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, ProbeClient(fake_server(handle).origin), probe=folder(backbone), deadline_ms=PATIENT_MS)
    expect_all_kept(guard(**backbone.arguments()), unguarded, "malformed_answer")


def test_a_service_that_refuses_the_request(make_backbone, client, folder, tmp_path) -> None:
    """The service has another probe under this name than the guard's folder."""
    backbone = make_backbone("sdxl")
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, client, model="flux@1", probe=folder(backbone), deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments())
    expect_all_kept(result, unguarded, "refused")
    assert "captured with other layers or settings" in result.failures[0].detail


@pytest.mark.parametrize("known", [True, False], ids=["the probe is known", "the service is asked for it"])
@pytest.mark.parametrize("on_mistake", ["raise", "keep"])
def test_a_wrong_api_key_is_visible_and_costs_no_image(make_backbone, folder, fake_server, caplog, on_mistake, known) -> None:
    """As everywhere, an exception of the client must not cost an image; but nobody should look for it for long."""
    problem = {"title": "An API key is required", "status": 401, "code": "unauthorized", "detail": "The key is not known."}
    body = json.dumps(problem).encode()

    def handle(connection) -> None:
        receive_request(connection)
        connection.sendall(b"HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    backbone = make_backbone("sd15")
    unguarded = backbone()
    client = ProbeClient(fake_server(handle).origin, api_key="wrong", on_mistake=on_mistake)
    options = {"probe": folder(backbone)} if known else {}
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        result = ProbeGuard(backbone.pipe, client, deadline_ms=PATIENT_MS, **options)(**backbone.arguments())
    # Asked for its probes, a client that keeps mistakes gives no reason.
    expect_all_kept(result, unguarded, "refused" if known or on_mistake == "raise" else "no_probe")
    assert "The key is not known." in caplog.text
    assert (client.mistakes, client.failures) == (1, {"refused": 1})


def test_after_a_refusal_the_probe_is_looked_up_again(make_backbone, client) -> None:
    backbone = make_backbone("sdxl")
    counting = ListingCounter(client)
    guard = ProbeGuard(backbone.pipe, counting, model="sdxl", deadline_ms=PATIENT_MS)
    listings = []
    for steps in (4, 4, 3, 4):  # the service refuses steps of a run of 3: the probe was trained on runs of 4
        assert guard(**backbone.arguments(num_inference_steps=steps)).outcome == ("scored" if steps == 4 else "failed_open")
        listings.append(counting.calls)
    assert listings == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"model": "nowhere"}, "the service serves no probe nowhere"),
        ({}, "the service has several probes: name one of"),
        ({"model": "sd15", "steps": [4]}, "sd15 cannot score at step 4: expected some of [1, 2, 3]"),
    ],
)
def test_a_probe_or_step_that_does_not_exist(make_backbone, client, settings: dict[str, Any], detail: str) -> None:
    backbone = make_backbone("sd15")
    unguarded = backbone()
    result = ProbeGuard(backbone.pipe, client, deadline_ms=PATIENT_MS, **settings)(**backbone.arguments())
    expect_all_kept(result, unguarded, "no_probe")
    assert result.failures[0].detail.startswith(detail)


def test_a_client_that_breaks_its_interface(make_backbone, folder) -> None:
    class Raising:
        def score(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("out of order")

    class Empty:
        def score(self, *args: Any, **options: Any) -> Any:
            return ScoredGroup("x", 1, "cpu", {"name": "x"}, ())

    class Half:
        """One result for two samples, which would drop the first."""

        def score(self, *args: Any, **options: Any) -> Any:
            one = SampleResult(0, None, 0.5, None, None, 1, None, True, None, "drop", "half", None)
            return ScoredGroup("x", 1, "cpu", {"name": "x"}, (one,))

    class Mute:
        def score(self, *args: Any, **options: Any) -> Any:
            return None

    class Exiting:
        def score(self, *args: Any, **options: Any) -> Any:
            raise SystemExit(1)

    class Hanging:
        silence = threading.Event()

        def score(self, *args: Any, **options: Any) -> Any:
            self.silence.wait()

    backbone = make_backbone("sd15")
    unguarded = backbone()
    for kind in (Raising, Empty, Half, Mute, Exiting, Hanging):
        reason = "timeout" if kind is Hanging else "client_failed"
        guard = ProbeGuard(backbone.pipe, kind(), probe=folder(backbone), deadline_ms=SOON_MS if kind is Hanging else PATIENT_MS)
        expect_all_kept(guard(**backbone.arguments()), unguarded, reason)
    Hanging.silence.set()


def test_a_malformed_outcome_affects_only_its_own_prompt(make_backbone, folder) -> None:
    class Mixed:
        def score(self, attention: np.ndarray, timestep: float, *, group: str, sample_ids: list[str], **options: Any) -> Any:
            if group.endswith("/0"):
                return None
            results = (
                SampleResult(index, None, 0.5, None, None, 1, None, not index, None, "keep" if index else "drop", "mixed", None)
                for index in range(len(sample_ids))
            )
            return ScoredGroup("x", 1, "cpu", {"name": "x"}, tuple(results))

    backbone = make_backbone("sd15")
    unguarded = backbone(prompts=["a cat", "two dog"])
    guard = ProbeGuard(backbone.pipe, Mixed(), probe=folder(backbone), deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments(["a cat", "two dog"]))
    assert [sample.reason for sample in result.samples] == ["client_failed", "client_failed", "mixed", "mixed"]
    assert [image is None for image in result] == [False, False, True, False]
    assert all(len(sample.judgements) == 1 for sample in result.samples)
    assert [failure.reason for failure in result.failures] == ["client_failed"]
    for index in (0, 1, 3):
        assert np.allclose(result[index], unguarded[index], atol=2e-5)


def test_attention_that_cannot_be_read(make_backbone, client) -> None:
    class Homemade:
        def __call__(self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, attention_mask: Any = None) -> Any:
            return hidden_states

    backbone = make_backbone("sd15")
    for block in backbone.pipe.unet.up_blocks[-1].attentions:
        block.transformer_blocks[0].attn2.set_processor(Homemade())
    unguarded = backbone()
    result = ProbeGuard(backbone.pipe, client, model="sd15", deadline_ms=PATIENT_MS)(**backbone.arguments())
    expect_all_kept(result, unguarded, "not_captured")
    assert "Homemade is not supported" in result.failures[0].detail


def test_layers_that_a_block_cache_skips(make_backbone, client) -> None:
    backbone = make_backbone("flux")
    backbone.denoiser.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    unguarded = backbone()
    result = ProbeGuard(backbone.pipe, client, model="flux", steps=[2], deadline_ms=PATIENT_MS)(**backbone.arguments())
    expect_all_kept(result, unguarded, "not_captured")
    assert "did not run" in result.failures[0].detail


def test_embeddings_without_a_token_mask(make_backbone, client, folder) -> None:
    """Without a token mask it is unknown which embeddings are tokens."""
    backbone = make_backbone("sd15")
    embeddings = backbone.pipe.encode_prompt("a cat", "cpu", 1, True)
    arguments = {"prompts": None, "prompt_embeds": embeddings[0], "negative_prompt_embeds": embeddings[1]}
    unguarded = backbone(**arguments)
    result = ProbeGuard(backbone.pipe, client, probe=folder(backbone))(**backbone.arguments(**arguments))
    expect_all_kept(result, unguarded, "not_captured")
    assert "token_mask" in result.failures[0].detail


def test_a_run_that_ends_before_the_step(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    unguarded = backbone(num_inference_steps=1)
    guard = ProbeGuard(backbone.pipe, client, model="sd15", steps=[3], deadline_ms=PATIENT_MS)
    expect_all_kept(guard(**backbone.arguments(num_inference_steps=1)), unguarded, "not_captured")


def test_a_denoiser_that_needs_all_rows_runs_for_all_rows(make_backbone, guard_dropping, count_rows, caplog) -> None:
    """As with an adapter that depends on the number of images. Dropped samples are then computed, and nothing fails."""
    backbone = make_backbone("flux")
    unguarded = backbone(images=3)

    def insist(module: Any, args: tuple, kwargs: dict) -> None:
        if len(kwargs["hidden_states"]) != 3:
            raise RuntimeError("expected three images")

    backbone.denoiser.register_forward_pre_hook(insist, with_kwargs=True)
    seen = count_rows(backbone)
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        result = guard_dropping(backbone, 1)(**backbone.arguments(images=3))
    assert [image is None for image in result] == [False, True, False]
    for index in (0, 2):
        assert np.allclose(result[index], unguarded[index], atol=2e-5)
    assert (seen.denoised, seen.decoded) == ([3, 3, 3, 3], [2])
    assert "expected three images" in caplog.text


def test_dropped_rows_that_still_run_are_not_scored_again(make_backbone, folder) -> None:
    """Otherwise a dropped sample could take a place among the best."""
    batch_sizes: list[int] = []

    class DropFirst:
        def score(self, attention: np.ndarray, timestep: float, **options: Any) -> ScoredGroup:
            batch_sizes.append(len(attention))
            results = (
                SampleResult(index, None, 0.5, None, None, 1, None, False, None, "keep" if index else "drop", "drop first", None)
                for index in range(len(attention))
            )
            return ScoredGroup("fixed", 1, "cpu", {"name": "score_only"}, tuple(results))

    def insist(module: Any, args: tuple, kwargs: dict) -> None:
        if len(kwargs["hidden_states"]) != 3:
            raise RuntimeError("expected three images")

    backbone = make_backbone("flux")
    backbone.denoiser.register_forward_pre_hook(insist, with_kwargs=True)
    guard = ProbeGuard(backbone.pipe, DropFirst(), probe=folder(backbone), steps=[1, 2, 3], deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments(images=3))
    assert batch_sizes == [3, 2, 1]
    assert result.images == [None] * 3


@pytest.mark.parametrize(
    "change", [{"capture": {"layers": 1}}, {"capture_id": "0" * 16}, {"decision_points": None}], ids=json.dumps
)
def test_an_invalid_manifest(make_backbone, client, models, change: dict[str, Any]) -> None:
    class Altered:
        score = client.score

        def models(self, **options: Any) -> Any:
            (model,) = [model for model in client.models(**options) if model.name == "sd15"]
            return [type(model)(model.name, 1, "serving", {**model.contract, **change})]

    backbone = make_backbone("sd15")
    unguarded = backbone()
    expect_all_kept(ProbeGuard(backbone.pipe, Altered(), deadline_ms=PATIENT_MS)(**backbone.arguments()), unguarded, "no_probe")
