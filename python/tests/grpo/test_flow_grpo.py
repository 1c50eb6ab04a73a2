"""The sampler of flow_grpo with a probe, on tiny SD3 and FLUX pipelines."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion_probe.capture import AttentionCapture, CaptureError
from diffusion_probe.families import text_layers
from diffusion_probe.grpo import KeepRule, advantages
from diffusion_probe.grpo.flow_grpo import ProbedSampler
from diffusion_probe.tiny import tiny_pipeline

from .sampling_loops import flux_with_logprob, sd3_with_logprob

ROOT = Path(__file__).parents[3]
LOOPS = {"sd3": sd3_with_logprob, "flux": flux_with_logprob}
PROMPTS = ["a cat"] * 4 + ["a dog and a tree"] * 4
RULE = KeepRule(floor=0.3, share=0.5)


@pytest.fixture(params=LOOPS)
def pipe(request: pytest.FixtureRequest) -> Any:
    pipe = tiny_pipeline(request.param)
    pipe.kind = request.param
    return pipe


def manifest(pipe: Any) -> dict[str, Any]:
    """What the sampler reads of a probe."""
    settings = AttentionCapture(pipe, list(text_layers(pipe))[-2:], (2,), (8, 8)).settings
    points = [{"step": step, "timestep": 0.0, "tolerance": 2} for step in (2, 3)]
    return {
        "name": "tiny",
        "version": 1,
        "capture": asdict(settings),
        "capture_id": settings.capture_id,
        "total_steps": 4,
        "decision_points": points,
    }


def spread(attention: np.ndarray, timestep: float, *, token_mask: np.ndarray) -> np.ndarray:
    """A score of one's own: any function of the maps."""
    assert attention.shape[0] == token_mask.shape[0] == len(PROMPTS)
    assert 0 < timestep <= 1000
    return attention.astype(np.float64).std(axis=(1, 2, 3, 4))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def sampler(pipe: Any, score: Any = spread, **options: Any) -> ProbedSampler:
    return ProbedSampler(LOOPS[pipe.kind], manifest(pipe), score, rule=RULE, **options)


def rows_of_calls(pipe: Any) -> list[int]:
    rows: list[int] = []
    pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    return rows


def test_kept_rows_are_those_of_the_function_alone_and_dropped_ones_are_computed_no_further(pipe: Any) -> None:
    whole, whole_latents, whole_logs, _ = LOOPS[pipe.kind](pipe, prompt=PROMPTS, generator=generator())
    rows, decoded = rows_of_calls(pipe), []
    decode = pipe.vae.decode
    pipe.vae.decode = lambda latents, **options: decoded.append(len(latents)) or decode(latents, **options)
    images, latents, logs, timesteps, kept = sampler(pipe)(
        pipe, prompt=PROMPTS, generator=generator(), group=PROMPTS, seed=(0, 1)
    )
    count = len(kept.rows)
    assert 0 < count < len(PROMPTS)
    assert kept.failure is None, "a drop is no failure"
    assert (kept.probabilities >= RULE.floor).all()
    assert np.isfinite(kept.scores).all()
    per_image = 2 if pipe.kind == "sd3" else 1
    assert rows == [per_image * rows_at for rows_at in (8, 8, count, count)]
    assert decoded == [count]
    assert images.shape[0] == count
    assert torch.allclose(images, whole[kept.rows], atol=1e-5)
    assert len(latents) == 3
    assert len(logs) == len(timesteps) == 2
    for one, other in zip([*latents, *logs], [*whole_latents, *whole_logs], strict=True):
        assert len(one) == len(PROMPTS), "gathering over ranks needs as many rows on each"
        assert one.isfinite().all()
        assert torch.allclose(one[kept.rows], other[kept.rows], atol=1e-4)
    weighted = kept.weighted_advantages(images.mean(dim=(1, 2, 3)), PROMPTS, std=1.0)
    assert set(np.flatnonzero(weighted)) <= set(kept.rows.tolist())


def test_prompts_as_embeddings_need_the_mask_of_their_tokens() -> None:
    pipe = tiny_pipeline("sd3")
    pipe.kind = "sd3"
    embeds = pipe.encode_prompt(PROMPTS, None, None, max_sequence_length=48)
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    call = {**dict(zip(names, embeds, strict=True)), "generator": generator(), "group": PROMPTS, "seed": 1}
    with pytest.raises(CaptureError, match="pass token_mask"):
        sampler(pipe)(pipe, **call)
    mask = np.zeros((len(PROMPTS), embeds[0].shape[1]), bool)
    mask[:, 1:4] = True
    *_, kept = sampler(pipe)(pipe, **call, token_mask=mask)
    assert kept.failure is None
    assert np.isfinite(kept.scores).all()


def test_a_probe_that_fails_costs_no_image(pipe: Any) -> None:
    def failing(*args: Any, **kwargs: Any) -> np.ndarray:
        raise RuntimeError("out of memory")

    images, *_, kept = sampler(pipe, failing)(pipe, prompt=PROMPTS, group=PROMPTS, seed=0)
    assert len(images) == len(PROMPTS)
    assert list(kept.weights) == [1] * len(PROMPTS)
    assert "out of memory" in kept.failure
    images, *_, kept = sampler(pipe)(pipe, prompt=PROMPTS, num_inference_steps=1, sde_window=(0, 0), group=PROMPTS, seed=0)
    assert len(images) == len(PROMPTS)
    assert "ended before this step" in kept.failure


def test_mistakes_are_loud(pipe: Any) -> None:
    with pytest.raises(ValueError, match=r"step is 4: the probe scores at \[2, 3\]"):
        sampler(pipe, step=4)
    with pytest.raises(ValueError, match="group has 3 prompts: expected those of the 8 rows"):
        sampler(pipe)(pipe, prompt=PROMPTS, group=PROMPTS[:3], seed=0)
    with pytest.raises(TypeError, match="no_such_argument"):
        sampler(pipe)(pipe, prompt=PROMPTS, group=PROMPTS, seed=0, no_such_argument=1)


def test_where_all_rows_are_dropped_the_outputs_keep_their_shapes(pipe: Any) -> None:
    none = next(seed for seed in range(4000) if not len(KeepRule(0.05, "tails", 0.1).decide(np.arange(8.0), PROMPTS, seed).rows))
    own = ProbedSampler(
        LOOPS[pipe.kind], manifest(pipe), lambda *args, **kwargs: np.arange(8.0), rule=KeepRule(0.05, "tails", 0.1)
    )
    images, latents, *_, kept = own(pipe, prompt=PROMPTS, group=PROMPTS, seed=none)
    assert len(kept.rows) == len(images) == 0
    assert all(len(one) == len(PROMPTS) for one in latents)
    assert list(advantages(np.full(8, np.nan), kept.weights, np.array(PROMPTS), std=1.0)) == [0] * 8


def test_nothing_of_it_is_imported_with_the_package() -> None:
    names = ["torch", "diffusion_probe.grpo.flow_grpo", "diffusion_probe.grpo.verl_omni"]
    code = f"import sys, diffusion_probe.grpo; print([name for name in {names} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout.strip() == "[]"
