"""The guard with tiny pipelines and the real service: dropped samples are no longer computed, kept images do not change."""

from __future__ import annotations

import accelerate
import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FirstBlockCacheConfig,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from diffusion_probe.capture import CaptureError
from diffusion_probe.client import InvalidInputError
from diffusion_probe.guard import ProbeGuard
from diffusion_probe.probe.manifest import read_manifest

PATIENT_MS = 60_000.0
CLOSE = 1e-3
ROUNDING = 2e-5  # of a float32 image in [0, 1]: kernels may add up in another order for fewer rows
NEVER = {"name": "threshold", "value": 2.0}  # scores end at 1
BEST_TWO = {"name": "top_k", "k": 2}
BETTER_HALF = {"name": "top_fraction", "fraction": 0.5}
TWO_PROMPTS = ["a cat on the banana", "two dog"]


def without_exploration(policy: dict) -> dict:
    """The policy without exploration, which keeps some samples by chance."""
    return {**policy, "explore": {"rate": 0}}


def guard_of(backbone, client, policy: dict, **settings) -> ProbeGuard:
    settings = {"model": backbone.name, "steps": [2], "deadline_ms": PATIENT_MS, **settings}
    return ProbeGuard(backbone.pipe, client, policy=without_exploration(policy), **settings)


def expect_kept_as_without_guard(result, unguarded: np.ndarray) -> None:
    for sample in result.kept:
        np.testing.assert_allclose(sample.image, unguarded[sample.index], atol=ROUNDING)


def test_only_kept_samples_are_computed_after_the_decision(backbone, client, scores, count_rows) -> None:
    expected = scores(backbone, 2, images=4)
    unguarded = backbone(images=4)
    seen = count_rows(backbone)
    result = guard_of(backbone, client, BEST_TWO)(**backbone.arguments(images=4))
    assert result.outcome == "scored"
    assert not result.failures
    np.testing.assert_allclose([sample.score for sample in result.samples], expected, atol=CLOSE)
    best = sorted(np.argsort(-expected, kind="stable")[:2])
    assert [sample.index for sample in result.kept] == best
    assert [image is None for image in result] == [index not in best for index in range(4)]
    assert {sample.reason for sample in result.samples} == {"top_k", "not_top_k"}
    assert all(sample.step == 2 and len(sample.receipts) == 1 for sample in result.samples)
    expect_kept_as_without_guard(result, unguarded)
    halves = 2 if backbone.name in ("sd15", "sdxl", "sd3") else 1
    calls = [4, 4, 4, 2, 2, 2, 2, 2] if backbone.name == "qwen-image" else [4 * halves] * 2 + [2 * halves] * 2
    assert (seen.denoised, seen.decoded) == (calls, [2])


def test_if_all_are_kept_images_equal_those_without_guard_bit_for_bit(backbone, client) -> None:
    unguarded = backbone()
    result = guard_of(backbone, client, {"name": "threshold", "value": -1.0})(**backbone.arguments())
    assert (result.outcome, len(result.kept)) == ("scored", 2)
    assert np.array_equal(np.stack(result.images), unguarded)


def test_a_run_without_kept_samples_ends_at_once(backbone, client, count_rows) -> None:
    backbone.pipe.enable_model_cpu_offload(device="cpu")
    unguarded = backbone()
    hooks = [name for name, part in backbone.pipe.components.items() if hasattr(part, "_hf_hook")]
    seen = count_rows(backbone)
    result = guard_of(backbone, client, NEVER)(**backbone.arguments(images=1))
    assert (result.outcome, result.images, result.samples[0].decision) == ("scored", [None], "drop")
    assert result.samples[0].reason == "below_threshold"
    assert seen.decoded == []
    assert len(seen.denoised) == (3 if backbone.name == "qwen-image" else 2)
    assert [name for name, part in backbone.pipe.components.items() if hasattr(part, "_hf_hook")] == hooks
    assert np.array_equal(backbone(), unguarded), "the guard leaves nothing behind"


def test_each_prompt_is_a_group_of_its_own(make_backbone, client) -> None:
    backbone = make_backbone("qwen-image")
    unguarded = backbone(prompts=TWO_PROMPTS, images=3)
    result = guard_of(backbone, client, {"name": "top_k", "k": 1})(**backbone.arguments(prompts=TWO_PROMPTS, images=3))
    assert result.outcome == "scored"
    assert [sample.index // 3 for sample in result.kept] == [0, 1]
    expect_kept_as_without_guard(result, unguarded)


@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_remaining_samples_are_scored_at_later_steps(make_backbone, client, scores, count_rows, name: str) -> None:
    backbone = make_backbone(name)
    unguarded = backbone(prompts=TWO_PROMPTS, images=4)
    later = scores(backbone, 3, prompts=TWO_PROMPTS, images=4)
    seen = count_rows(backbone)
    guard = guard_of(backbone, client, BETTER_HALF, steps=[1, 3])
    result = guard(**backbone.arguments(prompts=TWO_PROMPTS, images=4))
    assert [rows // (2 if name == "sdxl" else 1) for rows in seen.denoised] == [8, 4, 4, 2]
    judged = [len(sample.judgements) for sample in result.samples]
    assert sorted(judged) == [1] * 4 + [2] * 4
    for sample in result.samples:
        assert [judgement.step for judgement in sample.judgements] == [1, 3][: len(sample.judgements)]
        assert len(sample.receipts) == len(sample.judgements)
        if len(sample.judgements) == 2:
            assert sample.score == pytest.approx(later[sample.index], abs=CLOSE)
    assert len(result.kept) == 2
    expect_kept_as_without_guard(result, unguarded)


def test_a_manifest_need_not_say_how_long_a_run_is_where_the_steps_are_named(make_backbone, client, models) -> None:
    backbone = make_backbone("flux")
    manifest = {key: value for key, value in read_manifest(models / "flux" / "1").items() if key != "total_steps"}
    guard = guard_of(backbone, client, BETTER_HALF, steps=[1], probe=manifest)
    result = guard(**backbone.arguments(images=4))
    assert (result.outcome, len(result.kept)) == ("scored", 2)
    with pytest.raises(ValueError, match="does not state total_steps"):
        guard_of(backbone, client, {"name": "plan", "budget": 2.5}, steps=None, probe=manifest)


@pytest.mark.parametrize("policy", [{"budget": 2.5}, {"seeds": 4, "keep": {1: 3, 3: 1}}])
def test_a_plan_asks_at_its_own_steps(make_backbone, client, models, count_rows, policy: dict) -> None:
    backbone = make_backbone("flux")
    unguarded = backbone(images=4)
    seen = count_rows(backbone)
    guard = guard_of(backbone, client, {"name": "plan", **policy}, steps=None, probe=models / "flux" / "1")
    assert (guard.plan.seeds, guard.plan.keep, guard.plan.calls) == (4, {1: 3, 3: 1}, 11)
    assert (guard.plan.expected is None) == ("keep" in policy)
    result = guard(**backbone.arguments(images=4))
    assert (result.outcome, len(result.kept)) == ("scored", 1)
    assert (seen.denoised, sum(seen.denoised)) == ([4, 3, 3, 1], guard.plan.calls)
    assert {sample.reason for sample in result.samples} == {"in_plan", "not_in_plan"}
    expect_kept_as_without_guard(result, unguarded)


def test_a_budget_without_a_plan_keeps_all_and_says_which_there_are(make_backbone, client) -> None:
    backbone = make_backbone("flux")
    guard = guard_of(backbone, client, {"name": "plan", "budget": 9}, steps=None)
    assert guard.plan is None
    result = guard(**backbone.arguments())
    assert len(result.kept) == 2
    assert "no plan for the budget 9: expected one of [2.5]" in result.failures[0].detail


def test_the_defaults_are_those_of_the_service(make_backbone, client) -> None:
    """The service's policy, and the decision point nearest to a fifth of the run. Its receipts are accepted as feedback."""
    backbone = make_backbone("flux")
    result = ProbeGuard(backbone.pipe, client, model="flux", deadline_ms=PATIENT_MS)(**backbone.arguments())
    assert result.outcome == "scored"
    assert all(sample.step == 1 for sample in result.samples)
    worse, better = sorted(result.samples, key=lambda sample: sample.score)
    assert worse.judgements[0].result.would_drop
    assert (better.decision, better.reason) == ("keep", "above_threshold")
    assert client.feedback(better.receipts, 0.5).accepted == 1


def test_embeddings_and_positional_arguments_are_guarded(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    embeddings = torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(1))
    arguments = backbone.arguments(prompts=None, prompt_embeds=embeddings, negative_prompt_embeds=embeddings, images=4)
    guard = guard_of(backbone, client, BEST_TWO)
    result = guard(arguments.pop("prompt"), **arguments, return_dict=False, token_mask=np.arange(20)[None] < 5)
    assert (result.outcome, len(result.kept)) == ("scored", 2)


@pytest.mark.parametrize(
    "scheduler",
    [EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler, HeunDiscreteScheduler],
)
def test_any_scheduler_works_with_fewer_rows(make_backbone, guard_dropping, count_rows, scheduler: type) -> None:
    """Multistep schedulers remember earlier steps; ancestral ones draw noise for the whole batch at each step."""
    backbone = make_backbone("sd15")
    backbone.pipe.scheduler = scheduler.from_config(backbone.pipe.scheduler.config)
    unguarded = backbone(images=4)
    seen = count_rows(backbone)
    guard = guard_dropping(backbone, 0, 2)
    result = guard(**backbone.arguments(images=4))
    assert [image is None for image in result] == [True, False, True, False]
    assert seen.denoised[-1] == 4
    expect_kept_as_without_guard(result, unguarded)


def test_a_block_cache_works_with_fewer_rows(make_backbone, guard_dropping, count_rows) -> None:
    """It holds the rows of the previous step."""
    backbone = make_backbone("flux")
    backbone.denoiser.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    unguarded = backbone(images=4)
    seen = count_rows(backbone)
    result = guard_dropping(backbone, 0, 3)(**backbone.arguments(images=4))
    assert seen.denoised == [4, 4, 2, 2]
    expect_kept_as_without_guard(result, unguarded)


@pytest.mark.parametrize("kind", ["sequential", "group"])
def test_offloaded_weights_are_moved_back_after_a_run_without_kept_samples(make_backbone, guard_dropping, kind: str) -> None:
    backbone = make_backbone("flux")
    unguarded = backbone()
    cpu = torch.device("cpu")
    if kind == "sequential":
        accelerate.cpu_offload(backbone.denoiser, cpu)
    else:
        backbone.denoiser.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
    places = [parameter.device for parameter in backbone.denoiser.parameters()]
    assert guard_dropping(backbone, 0, 1)(**backbone.arguments()).images == [None, None]
    assert [parameter.device for parameter in backbone.denoiser.parameters()] == places
    assert np.array_equal(backbone(), unguarded)


def test_skip_layer_guidance_works_with_fewer_rows(make_backbone, guard_dropping, count_rows) -> None:
    """SD3 then calls its denoiser twice per step: with all rows, and with the conditional rows only."""
    backbone = make_backbone("sd3")
    skip = {"skip_guidance_layers": [0], "skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 1.0}
    unguarded = backbone(images=3, **skip)
    seen = count_rows(backbone)
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3, **skip))
    assert seen.denoised == [6, 3, 6, 2, 4, 2, 4, 2]
    expect_kept_as_without_guard(result, unguarded)


def test_guidance_in_two_calls_works_with_fewer_rows(make_backbone, guard_dropping, count_rows) -> None:
    backbone = make_backbone("flux")
    guided = {"negative_prompt": "two dog", "true_cfg_scale": 2.0}
    unguarded = backbone(images=3, **guided)
    seen = count_rows(backbone)
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3, **guided))
    assert seen.denoised == [3, 3, 3, 2, 2, 2, 2, 2]
    expect_kept_as_without_guard(result, unguarded)


def test_compiled_denoisers_work_with_fewer_rows(make_backbone, guard_dropping) -> None:
    backbone = make_backbone("flux")
    unguarded = backbone(images=3)
    backbone.denoiser.compile(backend="eager")
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3))
    assert [image is None for image in result] == [False, True, False]
    for sample in result.kept:
        np.testing.assert_allclose(sample.image, unguarded[sample.index], atol=1e-4)
    torch.compiler.reset()


@pytest.mark.parametrize("kind", ["pil", "pt", "latent"])
def test_images_have_the_pipelines_output_type(make_backbone, guard_dropping, kind: str) -> None:
    backbone = make_backbone("sdxl")
    plain = backbone.pipe(**backbone.arguments(images=3, output_type=kind)).images
    result = guard_dropping(backbone, 1)(**backbone.arguments(images=3, output_type=kind))
    assert len(result) == 3
    assert result[1] is None
    atol = 1 if kind == "pil" else 1e-4  # of 255 and of 1
    for index in (0, 2):
        assert type(result[index]) is type(plain[index])
        np.testing.assert_allclose(np.asarray(result[index], float), np.asarray(plain[index], float), atol=atol)


def test_unsupported_arguments_are_refused_by_the_constructor(make_backbone, client, models) -> None:
    class StableCascadePipeline:
        pass

    backbone = make_backbone("sd15")
    with pytest.raises(CaptureError, match="StableCascadePipeline is not supported"):
        ProbeGuard(StableCascadePipeline(), client)
    with pytest.raises(InvalidInputError, match="policy is 'top_k'"):
        ProbeGuard(backbone.pipe, client, policy="top_k")
    with pytest.raises(InvalidInputError, match="deadline_ms is 0"):
        ProbeGuard(backbone.pipe, client, deadline_ms=0)
    with pytest.raises(InvalidInputError, match="client is a str: expected a ProbeClient"):
        ProbeGuard(backbone.pipe, "http://127.0.0.1:8080")
    with pytest.raises(FileNotFoundError):
        ProbeGuard(backbone.pipe, client, probe=models)
    with pytest.raises(ValueError, match=r"sd15@1 cannot score at step 4: expected some of \[1, 2, 3\]"):
        ProbeGuard(backbone.pipe, client, probe=models / "sd15" / "1", steps=[4])
    with pytest.raises(CaptureError, match="there is no layer"):
        ProbeGuard(backbone.pipe, client, probe=models / "flux" / "1")


def test_errors_of_the_pipeline_are_raised(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    guard = guard_of(backbone, client, BEST_TWO)
    with pytest.raises(ValueError, match="divisible by 8"):
        guard(**backbone.arguments(height=33))

    def fail(pipe, step, timestep, kwargs):
        raise RuntimeError("a user's callback")

    with pytest.raises(RuntimeError, match="a user's callback"):
        guard(**backbone.arguments(callback_on_step_end=fail))
    assert "decode" not in vars(backbone.pipe.vae)
