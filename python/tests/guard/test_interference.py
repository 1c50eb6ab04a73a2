"""The guard when a service dies or stalls during a run, with callbacks, errors and interrupts, and with all kinds of guidance."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from diffusion_probe.client import ProbeClient
from diffusion_probe.families import text_layers
from diffusion_probe.guard import ProbeGuard

PATIENT_MS = 60_000.0
SOON_MS = 300.0
LONG_SECONDS = 30.0
ROUNDING = 2e-5  # of a float32 image in [0, 1]: kernels may add up in another order for fewer rows
BEST = {"name": "top_k", "k": 1, "explore": {"rate": 0}}
BETTER_HALF = {"name": "top_fraction", "fraction": 0.5, "explore": {"rate": 0}}
ALL = {"name": "threshold", "value": -1.0}
JOINED = ("sd15", "sdxl", "sd3")  # guidance in one call


def guard_of(backbone, client, policy: dict, steps: list[int], **settings: Any) -> ProbeGuard:
    return ProbeGuard(
        backbone.pipe, client, **{"model": backbone.name, "steps": steps, "policy": policy, "deadline_ms": PATIENT_MS, **settings}
    )


def after_step(number: int, action):
    """A callback of the user that calls `action` after one step."""

    def callback(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        if index + 1 == number:
            action()
        return kwargs

    return callback


def expect_kept_as(result, unguarded: np.ndarray) -> None:
    for sample in result.kept:
        np.testing.assert_allclose(sample.image, unguarded[sample.index], atol=ROUNDING)


@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_a_callback_that_calls_the_denoiser_is_no_step(make_backbone, client, scores, name: str, caplog) -> None:
    backbone = make_backbone(name)
    unguarded = backbone(images=4)
    expected = scores(backbone, 2, images=4)
    last: dict[str, Any] = {}
    backbone.denoiser.register_forward_pre_hook(lambda _, args, kwargs: last.update(call=(args, kwargs)), with_kwargs=True)

    def call_again(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        args, arguments = last["call"]
        with torch.no_grad():
            backbone.denoiser(*args, **arguments)
        return kwargs

    result = guard_of(backbone, client, BETTER_HALF, [2])(**backbone.arguments(images=4, callback_on_step_end=call_again))
    np.testing.assert_allclose([sample.score for sample in result.samples], expected, atol=1e-3)
    assert (result.outcome, len(result.kept)) == ("scored", 2)
    expect_kept_as(result, unguarded)
    assert "goes on with all rows" not in caplog.text


def test_a_service_that_is_killed_in_the_middle_of_a_run(make_backbone, models, start_service) -> None:
    """Samples that it dropped stay dropped. The others are kept."""
    service = start_service(models)
    backbone = make_backbone("sdxl")
    unguarded = backbone(images=4)

    def kill() -> None:
        service.process.kill()
        service.process.wait()

    with ProbeClient(service.origin) as client:
        guard = guard_of(backbone, client, BETTER_HALF, [1, 3])
        result = guard(**backbone.arguments(images=4, callback_on_step_end=after_step(2, kill)))
        assert (result.outcome, len(result.kept)) == ("failed_open", 2)
        assert [(failure.step, failure.reason) for failure in result.failures] == [(3, "network")]
        for sample in result.samples:
            reasons = [judgement.reason for judgement in sample.judgements]
            assert reasons == (["top_k", "network"] if sample.decision == "keep" else ["not_top_k"])
        expect_kept_as(result, unguarded)
        again = guard(**backbone.arguments(images=4))
        assert (len(again.kept), {failure.reason for failure in again.failures}) == (4, {"network"})


def test_a_stopped_service_costs_one_deadline_and_is_used_again_later(make_backbone, models, start_service) -> None:
    service = start_service(models)
    backbone = make_backbone("flux")
    unguarded = backbone(images=2)
    with ProbeClient(service.origin) as client:
        assert client.models(deadline_ms=PATIENT_MS)
        stopped: list[float] = []

        def stop() -> None:
            os.kill(service.process.pid, signal.SIGSTOP)
            stopped.append(time.monotonic())

        hasty = guard_of(backbone, client, BEST, [2], deadline_ms=SOON_MS, model="flux@1", probe=models / "flux" / "1")
        try:
            result = hasty(**backbone.arguments(images=2, callback_on_step_end=after_step(1, stop)))
            waited = time.monotonic() - stopped[0]
        finally:
            os.kill(service.process.pid, signal.SIGCONT)
        assert {failure.reason for failure in result.failures} == {"timeout"}
        assert SOON_MS / 1000 <= waited < LONG_SECONDS
        assert np.array_equal(np.stack(result.images), unguarded)
        result = guard_of(backbone, client, BEST, [2])(**backbone.arguments(images=2))
        assert (result.outcome, len(result.kept)) == ("scored", 1)
        expect_kept_as(result, unguarded)


def test_a_single_remaining_row_is_scored_and_finished(backbone, client, count_rows) -> None:
    """A single row would broadcast silently if rows were selected wrongly."""
    unguarded = backbone(images=3)
    seen = count_rows(backbone)
    result = guard_of(backbone, client, BEST, [1, 3])(**backbone.arguments(images=3))
    assert result.outcome == "scored"
    assert [len(sample.judgements) for sample in result.kept] == [2]
    assert seen.denoised[-1] == (2 if backbone.name in JOINED else 1)
    assert seen.decoded == [1]
    expect_kept_as(result, unguarded)


def test_a_single_image_is_kept_bit_for_bit(backbone, client) -> None:
    unguarded = backbone(images=1)
    result = guard_of(backbone, client, ALL, [2])(**backbone.arguments(images=1))
    assert (result.outcome, len(result.kept), len(result.failures)) == ("scored", 1, 0)
    assert np.array_equal(np.stack(result.images), unguarded)


@pytest.mark.parametrize(
    ("name", "changes", "rows"),
    [
        ("sd15", {"guidance_scale": 1.0}, 1),
        ("sdxl", {"guidance_scale": 1.0}, 1),
        ("sd3", {"guidance_scale": 1.0}, 1),
        ("qwen-image", {"true_cfg_scale": 1.0}, 1),
        ("qwen-image", {"negative_prompt": None}, 1),
        ("sd15", {"negative_prompt": "two dog"}, 2),
        ("sdxl", {"negative_prompt": "two dog", "guidance_scale": 7.0}, 2),
        ("sd3", {"negative_prompt": "two dog"}, 2),
        ("flux", {"guidance_scale": 0.0}, 1),
    ],
)
def test_with_any_guidance_the_conditional_rows_are_scored(
    make_backbone, client, scores, count_rows, name, changes, rows
) -> None:
    backbone = make_backbone(name)
    expected = scores(backbone, 2, images=3, **changes)
    unguarded = backbone(images=3, **changes)
    seen = count_rows(backbone)
    result = guard_of(backbone, client, BEST, [2])(**backbone.arguments(images=3, **changes))
    assert result.outcome == "scored", result.failures
    np.testing.assert_allclose([sample.score for sample in result.samples], expected, atol=1e-3)
    assert [sample.index for sample in result.kept] == [int(np.argmax(expected))]
    assert seen.denoised == [3 * rows] * 2 + [rows] * 2
    expect_kept_as(result, unguarded)


@pytest.mark.parametrize("name", ["sd15", "flux", "qwen-image"])
def test_a_callback_of_the_user_sees_and_changes_all_rows(make_backbone, guard_dropping, name: str) -> None:
    seen: list[tuple[int, int]] = []

    def fade(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        seen.append((index, len(kwargs["latents"])))
        return {"latents": kwargs["latents"] * 0.9}

    backbone = make_backbone(name)
    plain = backbone(images=3)
    unguarded = backbone(images=3, callback_on_step_end=fade)
    assert not np.allclose(plain, unguarded, atol=ROUNDING)
    seen.clear()
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3, callback_on_step_end=fade))
    assert seen == [(index, 3) for index in range(4)]
    assert [sample.index for sample in result.kept] == [0, 2]
    expect_kept_as(result, unguarded)


def test_a_run_that_the_user_interrupts_returns_its_images(make_backbone, guard_dropping) -> None:
    def interrupt(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        pipe._interrupt = index == 2
        return kwargs

    backbone = make_backbone("sdxl")
    unguarded = backbone(images=3, callback_on_step_end=interrupt)
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3, callback_on_step_end=interrupt))
    assert [sample.index for sample in result.kept] == [0, 2]
    expect_kept_as(result, unguarded)


@pytest.mark.parametrize("error", [KeyboardInterrupt, torch.OutOfMemoryError, ZeroDivisionError])
def test_an_error_of_the_user_is_raised_and_the_pipeline_is_restored(backbone, guard_dropping, error: type) -> None:
    unguarded = backbone(images=3)
    processors = dict(backbone.denoiser.attn_processors)
    layers = text_layers(backbone.pipe)
    before = {name: sorted(vars(layer)) for name, layer in layers.items()}

    def fail() -> None:
        raise error("of the user")

    guard = guard_dropping(backbone, 1)
    for step in (1, 3):
        with pytest.raises(error, match="of the user"):
            guard(**backbone.arguments(images=3, callback_on_step_end=after_step(step, fail)))
    assert all(backbone.denoiser.attn_processors[name] is processor for name, processor in processors.items())
    assert {name: sorted(vars(layer)) for name, layer in layers.items()} == before
    assert not {"decode", "_compiled_call_impl"} & set(vars(backbone.pipe.vae))
    assert vars(backbone.denoiser).get("_compiled_call_impl") is None
    assert np.array_equal(backbone(images=3), unguarded)
    assert [sample.index for sample in guard(**backbone.arguments(images=3)).kept] == [0, 2]


def test_an_error_in_a_captured_layer_is_raised(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    layer = list(text_layers(backbone.pipe).values())[-1]
    calls: list[int] = []

    def fail(module: Any, args: tuple) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("no room")

    hook = layer.to_q.register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        guard_of(backbone, client, BEST, [2])(**backbone.arguments())
    hook.remove()
    assert "forward" not in vars(layer)
    assert guard_of(backbone, client, BEST, [2])(**backbone.arguments()).outcome == "scored"


def test_attention_that_is_not_finite_keeps_all_samples(make_backbone, client) -> None:
    """As after an overflow in half precision."""

    def spoil(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        return {"latents": kwargs["latents"] * float("nan")} if index == 0 else kwargs

    backbone = make_backbone("sd15")
    result = guard_of(backbone, client, BEST, [2])(**backbone.arguments(callback_on_step_end=spoil))
    assert (result.outcome, len(result.kept), result.failures[0].reason) == ("failed_open", 2, "refused")


def test_dropping_all_images_of_a_prompt_does_not_affect_the_other(make_backbone, guard_dropping, count_rows) -> None:
    backbone = make_backbone("qwen-image")
    prompts = ["a cat on the banana", "two dog"]
    unguarded = backbone(prompts=prompts)
    seen = count_rows(backbone)
    result = guard_dropping(backbone, 0, 1)(**backbone.arguments(prompts))
    assert [image is None for image in result] == [True, True, False, False]
    assert (seen.denoised[-1], seen.decoded) == (2, [2])
    expect_kept_as(result, unguarded)


def test_one_generator_per_image_draws_the_same_as_without_guard(make_backbone, guard_dropping) -> None:
    backbone = make_backbone("sd15")
    backbone.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(backbone.pipe.scheduler.config)

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)]

    unguarded = backbone(images=3, generator=generators())
    result = guard_dropping(backbone, 0)(**backbone.arguments(images=3, generator=generators()))
    assert [sample.index for sample in result.kept] == [1, 2]
    expect_kept_as(result, unguarded)
