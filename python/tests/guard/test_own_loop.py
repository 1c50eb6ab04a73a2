"""A sampling loop of one's own gives the images that the guard gives, and every failure keeps all samples."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from diffusion_probe.capture import AttentionObserver, ObservedStep, select
from diffusion_probe.client import InvalidInputError, ProbeClient, SampleGroup, ScoredGroup, ScoreFailure
from diffusion_probe.guard import ProbeGuard
from diffusion_probe.probe.manifest import read_manifest
from diffusion_probe.reference.rectified_flow import sample
from diffusion_probe.tiny.backbone import HEIGHT, WIDTH

ROOT = Path(__file__).parents[3]
PATIENT_MS = 60_000.0
BEST_TWO = {"name": "top_k", "k": 2, "explore": {"rate": 0}}
GUIDANCE = 7.5  # the default of Stable Diffusion 1.5


@torch.no_grad()
def own_loop(pipe: Any, arguments: dict[str, Any], observer: AttentionObserver, group: Any) -> np.ndarray:
    """Stable Diffusion 1.5, with the pipeline's parts alone."""
    size = arguments["num_images_per_prompt"]
    conditional, unconditional = pipe.encode_prompt(arguments["prompt"], "cpu", size, True)
    text = torch.cat([unconditional, conditional])
    pipe.scheduler.set_timesteps(arguments["num_inference_steps"])
    shape = (size, 4, HEIGHT // pipe.vae_scale_factor, WIDTH // pipe.vae_scale_factor)
    latents = torch.randn(shape, generator=arguments["generator"]) * pipe.scheduler.init_noise_sigma
    with observer.watch(pipe.unet):
        for step, timestep in enumerate(pipe.scheduler.timesteps, 1):
            scaled = pipe.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            without, with_text = pipe.unet(scaled, timestep, encoder_hidden_states=text).sample.chunk(2)
            latents = pipe.scheduler.step(without + GUIDANCE * (with_text - without), timestep, latents).prev_sample
            if observer.due(step):
                kept = group.decide(observer.take(), step=step, timestep=float(timestep))
                latents, text, _ = select(kept, latents, text, pipe.scheduler)
    images = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return (images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def observer_of(backbone, manifest: dict[str, Any]) -> AttentionObserver:
    tokens = len(backbone.pipe.tokenizer(backbone.arguments()["prompt"]).input_ids)
    return AttentionObserver(manifest, range(1, tokens), (HEIGHT, WIDTH), rows="last half", steps=[2])


def test_the_loop_gives_the_images_of_the_guard(make_backbone, client) -> None:
    backbone = make_backbone("sd15")
    guard = ProbeGuard(backbone.pipe, client, model="sd15", policy=BEST_TWO, steps=[2], deadline_ms=PATIENT_MS)
    guarded = guard(**backbone.arguments(images=4))
    assert len(guarded.kept) == 2
    contract = next(model.contract for model in client.models() if model.name == "sd15")
    observer = observer_of(backbone, {"name": "sd15", "version": 1, **contract})
    group = client.group(4, policy=BEST_TWO, deadline_ms=PATIENT_MS)
    images = own_loop(backbone.pipe, backbone.arguments(images=4), observer, group)
    assert group.remaining == tuple(sample.index for sample in guarded.kept)
    assert [outcome.outcome for outcome in group.outcomes] == ["scored"]
    np.testing.assert_allclose(images, np.stack([sample.image for sample in guarded.kept]), atol=2e-5)


def test_a_scheduler_with_a_history_goes_along(make_backbone, guard_dropping, models) -> None:
    backbone = make_backbone("sd15")
    backbone.pipe.scheduler = DPMSolverMultistepScheduler.from_config(backbone.pipe.scheduler.config)
    guard = guard_dropping(backbone, 0, 3)
    guarded = guard(**backbone.arguments(images=4))
    group = SampleGroup(guard._client, range(4), {})
    observer = observer_of(backbone, read_manifest(models / "sd15" / "1"))
    images = own_loop(backbone.pipe, backbone.arguments(images=4), observer, group)
    assert group.remaining == (1, 2)
    np.testing.assert_allclose(images, np.stack([sample.image for sample in guarded.kept]), atol=2e-5)


def observed(samples: int | None) -> ObservedStep:
    attention = None if samples is None else np.zeros((samples, 2, 3, 8, 8), np.float16)
    return ObservedStep(attention, ("a", "b"), np.ones((samples or 0, 3), np.uint8), "0123456789abcdef", "own@1")


@pytest.mark.parametrize(("samples", "reason"), [(None, "not_captured"), (2, "not_captured"), (3, "network")])
def test_every_failure_keeps_all_samples(samples: int | None, reason: str) -> None:
    with ProbeClient("http://127.0.0.1:9") as client:
        group = client.group(3)
        kept = group.decide(observed(samples), step=2, timestep=500.0)
    assert (tuple(kept), kept.rows, group.remaining) == ((0, 1, 2), 3, (0, 1, 2))
    assert [outcome.reason for outcome in group.outcomes] == [reason]


class Answers:
    """A client that returns the same to every question."""

    def __init__(self, answer: Any):
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def score(self, *args: Any, **options: Any) -> Any:
        self.asked.append(options)
        return self.answer


NO_RESULTS, WRONG_RESULTS = (ScoredGroup("x", 1, "cpu", {"name": "x"}, results) for results in ((), (1, 2, 3)))


@pytest.mark.parametrize("answer", [None, "keep", NO_RESULTS, WRONG_RESULTS], ids=["none", "text", "no results", "wrong results"])
def test_an_answer_that_decides_nothing_keeps_all_samples(answer: Any) -> None:
    group = SampleGroup(Answers(answer), range(3), {})
    assert tuple(group.decide(observed(3), step=2, timestep=500.0)) == group.remaining == (0, 1, 2)
    assert [outcome.reason for outcome in group.outcomes] == ["client_failed"]


def test_a_sample_has_the_same_id_at_every_step() -> None:
    client = Answers(ScoreFailure("network"))
    group = SampleGroup(client, [3, 5, 7], {"group": "a prompt"}, "run")
    for step in (2, 3):
        group.decide(observed(3), step=step, timestep=500.0)
    assert [asked["sample_ids"] for asked in client.asked] == [["run/3", "run/5", "run/7"]] * 2
    assert {asked["group"] for asked in client.asked} == {"a prompt"}


def test_a_mistake_of_the_caller_is_raised() -> None:
    with ProbeClient("http://127.0.0.1:9") as client, pytest.raises(InvalidInputError, match="step"):
        client.group(3).decide(observed(3), step=0, timestep=500.0)


def test_the_example_finishes_the_best_candidates_unchanged(service) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "own_loop.py"))
    caption = "a hat left of a cactus on a green background"
    with ProbeClient(service.origin, deadline_ms=PATIENT_MS) as client:
        group = client.group(4, policy=BEST_TWO)
        images = example["generate"](group, caption, range(4))
    scores = np.array([result.score for result in group.outcomes[0].results])
    assert sorted(images) == sorted(np.argsort(-scores)[:2])
    backbone = example["load_onnx_backbone"](ROOT / "reference")
    ids = example["pad_ids"]([example["tokenize"](caption)] * 4)
    latents = torch.stack([example["initial_noise"](caption, seed, 64) for seed in range(4)])
    unguarded = sample(backbone, ids, latents)
    for index, image in images.items():
        np.testing.assert_allclose(image, unguarded[index], atol=1e-3)
