"""Whatever fails, the images are those of the pipeline alone, and the result says what was not decided and why."""

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

NOBODY = "http://127.0.0.1:1"
SOON_MS = 200.0
LONG_SECONDS = 20.0
PATIENT_MS = 60_000.0
GARBAGE = [b"", b"no json", b'{"outcome":"scored","results":[]}']


def expect_all_kept(result, unguarded: np.ndarray, reason: str) -> None:
    assert result.outcome == "failed_open"
    assert np.array_equal(np.stack(result.images), unguarded)
    assert {failure.reason for failure in result.failures} == {reason}
    assert {(sample.decision, sample.reason, sample.score) for sample in result.samples} == {("keep", reason, None)}


class Counting:
    """A client that counts how often it was asked for the probes, and does not know them at first."""

    def __init__(self, client: ProbeClient, silent: int = 0):
        self.score = client.score
        self.asked = 0
        self._client = client
        self._silent = silent

    def models(self, **options: Any) -> Any:
        self.asked += 1
        return self._client.models(**options) if self.asked > self._silent else None


@pytest.fixture
def folder(models):
    """Of a backbone's probe, so that the service need not be asked."""
    return lambda backbone: models / backbone.name / "1"


def test_a_service_that_is_down(backbone, folder, caplog) -> None:
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, ProbeClient(NOBODY), probe=folder(backbone), deadline_ms=PATIENT_MS)
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        expect_all_kept(guard(**backbone.arguments()), unguarded, "network")
    assert "kept without a score at step 1: network" in caplog.text


def test_a_service_that_is_down_before_it_said_what_it_serves(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    unguarded = backbone()
    counting = Counting(client, silent=1)
    guard = ProbeGuard(backbone.pipe, counting, model="sd15", deadline_ms=PATIENT_MS)
    expect_all_kept(guard(**backbone.arguments()), unguarded, "no_probe")
    assert guard(**backbone.arguments()).outcome == "scored", "it asks again at the next run"


def test_a_service_that_is_slow(make_backbone, folder, impostor) -> None:
    silence = threading.Event()
    backbone = make_backbone("sd15")
    unguarded = backbone()
    guard = ProbeGuard(
        backbone.pipe,
        ProbeClient(impostor(lambda connection: silence.wait()).origin),
        probe=folder(backbone),
        deadline_ms=SOON_MS,
    )
    started = time.monotonic()
    expect_all_kept(guard(**backbone.arguments()), unguarded, "timeout")
    assert time.monotonic() - started < LONG_SECONDS
    silence.set()


@pytest.mark.parametrize("body", GARBAGE, ids=repr)
def test_a_service_that_answers_garbage(make_backbone, folder, impostor, body: bytes) -> None:
    def handle(connection) -> None:
        head = connection.recv(65536)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        received = len(head.split(b"\r\n\r\n", 1)[1])
        while received < length:
            received += len(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    backbone = make_backbone("flux")
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, ProbeClient(impostor(handle).origin), probe=folder(backbone), deadline_ms=PATIENT_MS)
    expect_all_kept(guard(**backbone.arguments()), unguarded, "malformed_answer")


def test_a_service_that_refuses(make_backbone, client, folder, tmp_path) -> None:
    """It has another probe under this name than the folder that the guard was given."""
    backbone = make_backbone("sdxl")
    unguarded = backbone()
    guard = ProbeGuard(backbone.pipe, client, model="flux@1", probe=folder(backbone), deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments())
    expect_all_kept(result, unguarded, "refused")
    assert "captured with other layers or settings" in result.failures[0].detail


def test_a_probe_that_was_replaced_is_asked_for_again(make_backbone, client) -> None:
    backbone = make_backbone("sdxl")
    counting = Counting(client)
    guard = ProbeGuard(backbone.pipe, counting, model="sdxl", deadline_ms=PATIENT_MS)
    asked = []
    for steps in (4, 4, 3, 4):  # the probe knows runs of 4: as if another had come, the service refuses what is captured of 3
        assert guard(**backbone.arguments(num_inference_steps=steps)).outcome == ("scored" if steps == 4 else "failed_open")
        asked.append(counting.asked)
    assert asked == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"model": "nowhere"}, "the service serves no probe nowhere"),
        ({}, "the service has several probes: name one of"),
        ({"model": "sd15", "steps": [4]}, "sd15 cannot score at step 4: expected some of [1, 2, 3]"),
    ],
)
def test_a_probe_that_is_not_there(make_backbone, client, settings: dict[str, Any], detail: str) -> None:
    backbone = make_backbone("sd15")
    unguarded = backbone()
    result = ProbeGuard(backbone.pipe, client, deadline_ms=PATIENT_MS, **settings)(**backbone.arguments())
    expect_all_kept(result, unguarded, "no_probe")
    assert result.failures[0].detail.startswith(detail)


def test_a_client_of_another_make(make_backbone, folder) -> None:
    class Raising:
        def score(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("out of order")

    class Odd:
        def score(self, *args: Any, **options: Any) -> Any:
            return ScoredGroup("x", 1, "cpu", {"name": "x"}, ())

    class Half:
        """As many answers as nobody asked for, and the first would drop."""

        def score(self, *args: Any, **options: Any) -> Any:
            one = SampleResult(0, None, 0.5, None, None, 1, None, True, None, "drop", "half", None)
            return ScoredGroup("x", 1, "cpu", {"name": "x"}, (one,))

    class Mute:
        def score(self, *args: Any, **options: Any) -> Any:
            return None

    class Leaving:
        def score(self, *args: Any, **options: Any) -> Any:
            raise SystemExit(1)

    class Hanging:
        silence = threading.Event()

        def score(self, *args: Any, **options: Any) -> Any:
            self.silence.wait()

    backbone = make_backbone("sd15")
    unguarded = backbone()
    for kind in (Raising, Odd, Half, Mute, Leaving, Hanging):
        reason = "timeout" if kind is Hanging else "client_failed"
        guard = ProbeGuard(backbone.pipe, kind(), probe=folder(backbone), deadline_ms=SOON_MS if kind is Hanging else PATIENT_MS)
        expect_all_kept(guard(**backbone.arguments()), unguarded, reason)
    Hanging.silence.set()


def test_an_answer_that_makes_no_sense_spares_the_other_prompts(make_backbone, folder) -> None:
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


def test_attention_that_cannot_be_seen(make_backbone, client) -> None:
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


def test_layers_that_a_cache_skips(make_backbone, client) -> None:
    backbone = make_backbone("flux")
    backbone.denoiser.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    unguarded = backbone()
    result = ProbeGuard(backbone.pipe, client, model="flux", steps=[2], deadline_ms=PATIENT_MS)(**backbone.arguments())
    expect_all_kept(result, unguarded, "not_captured")
    assert "did not run" in result.failures[0].detail


def test_tokens_that_cannot_be_told(make_backbone, client, folder) -> None:
    """Embeddings without a word about which of them are tokens."""
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


def test_rows_that_are_hidden_from_the_guard_go_on(make_backbone, guard_dropping, watch, caplog) -> None:
    """An adapter that knows how many images there are: the dropped cost what they did, and nobody fails."""
    backbone = make_backbone("flux")
    unguarded = backbone(images=3)

    def insist(module: Any, args: tuple, kwargs: dict) -> None:
        if len(kwargs["hidden_states"]) != 3:
            raise RuntimeError("three images were agreed")

    backbone.denoiser.register_forward_pre_hook(insist, with_kwargs=True)
    seen = watch(backbone)
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        result = guard_dropping(backbone, 1)(**backbone.arguments(images=3))
    assert [image is None for image in result] == [False, True, False]
    for index in (0, 2):
        assert np.allclose(result[index], unguarded[index], atol=2e-5)
    assert (seen.denoised, seen.decoded) == ([3, 3, 3, 3], [2])
    assert "three images were agreed" in caplog.text


def test_rows_that_go_on_are_not_asked_about_again(make_backbone, folder) -> None:
    """Else a dropped sample would take the place of another among the best."""
    asked: list[int] = []

    class FirstOut:
        def score(self, attention: np.ndarray, timestep: float, **options: Any) -> ScoredGroup:
            asked.append(len(attention))
            results = (
                SampleResult(index, None, 0.5, None, None, 1, None, False, None, "keep" if index else "drop", "first out", None)
                for index in range(len(attention))
            )
            return ScoredGroup("decided", 1, "cpu", {"name": "score_only"}, tuple(results))

    def insist(module: Any, args: tuple, kwargs: dict) -> None:
        if len(kwargs["hidden_states"]) != 3:
            raise RuntimeError("three images were agreed")

    backbone = make_backbone("flux")
    backbone.denoiser.register_forward_pre_hook(insist, with_kwargs=True)
    guard = ProbeGuard(backbone.pipe, FirstOut(), probe=folder(backbone), steps=[1, 2, 3], deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments(images=3))
    assert asked == [3, 2, 1]
    assert result.images == [None] * 3


@pytest.mark.parametrize(
    "change", [{"capture": {"layers": 1}}, {"capture_id": "0" * 16}, {"decision_points": None}], ids=json.dumps
)
def test_a_contract_that_makes_no_sense(make_backbone, client, models, change: dict[str, Any]) -> None:
    class Altered:
        score = client.score

        def models(self, **options: Any) -> Any:
            (model,) = [model for model in client.models(**options) if model.name == "sd15"]
            return [type(model)(model.name, 1, "serving", {**model.contract, **change})]

    backbone = make_backbone("sd15")
    unguarded = backbone()
    expect_all_kept(ProbeGuard(backbone.pipe, Altered(), deadline_ms=PATIENT_MS)(**backbone.arguments()), unguarded, "no_probe")
