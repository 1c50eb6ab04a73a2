"""What a run predicts early: the predicted images, the guidance difference, and the tokens that name things."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from diffusion_probe.collection.early_signals import EarlySignals
from diffusion_probe.families import family_of
from diffusion_probe.pipelines.arguments import image_per_prompt
from diffusion_probe.tiny import TINY, TinyBackbone

PROMPTS = ["a cat", "a red dog on the banana"]
SEEDS = [0, 3]
TOTAL_STEPS = 3
OWN = ("prompt", "num_images_per_prompt", "num_inference_steps", "generator", "output_type")


def words(prompts):
    return [[word for word in prompt.split() if word in ("cat", "dog", "banana", "key")] for prompt in prompts]


def arguments_of(backbone: TinyBackbone) -> dict:
    call = {key: value for key, value in backbone.arguments("a").items() if key not in OWN}
    return image_per_prompt(call, PROMPTS, SEEDS, TOTAL_STEPS)


def pixels(images) -> np.ndarray:
    return np.stack([np.asarray(image, int) for image in images])


@pytest.mark.parametrize("name", list(TINY))
def test_the_last_step_predicts_the_finished_image_and_the_first_one_another(name: str) -> None:
    backbone = TinyBackbone(name)
    plain = pixels(backbone.pipe(**arguments_of(backbone)).images)
    early = EarlySignals(backbone.pipe, [1, TOTAL_STEPS])
    with early.recording():
        drawn = pixels(backbone.pipe(**arguments_of(backbone)).images)
    assert np.array_equal(drawn, plain)
    assert np.abs(pixels(early.previews(TOTAL_STEPS, arguments_of(backbone))) - plain).max() <= 1
    assert np.abs(pixels(early.previews(1, arguments_of(backbone))) - plain).max() > 1
    assert np.array_equal(pixels(backbone.pipe(**arguments_of(backbone)).images), plain)


@pytest.mark.parametrize("name", list(TINY))
def test_the_guidance_difference_is_that_of_both_predictions(name: str) -> None:
    backbone, outputs = TinyBackbone(name), []
    denoiser = getattr(backbone.pipe, family_of(backbone.pipe).denoiser)
    early = EarlySignals(backbone.pipe, [2])
    with early.recording(), torch.no_grad():
        hook = denoiser.register_forward_hook(lambda *call: outputs.append(call[2][0]))
        backbone.pipe(**arguments_of(backbone))
        hook.remove()
    per_step = len(outputs) // TOTAL_STEPS
    rows = torch.cat(outputs[per_step : 2 * per_step])
    if len(rows) == len(PROMPTS):
        assert early.guidance_difference == {}
        return
    expected = (rows[: len(PROMPTS)] - rows[len(PROMPTS) :]).square().flatten(1).mean(dim=1)
    assert early.guidance_difference[2] == pytest.approx(expected.numpy(), rel=1e-5)


def test_a_scheduler_that_predicts_no_image_is_named() -> None:
    backbone = TinyBackbone("sd15")
    backbone.pipe.scheduler = DPMSolverMultistepScheduler.from_config(backbone.pipe.scheduler.config)
    early = EarlySignals(backbone.pipe, [1])
    with pytest.raises(ValueError, match="DPMSolverMultistepScheduler does not return the image"), early.recording():
        backbone.pipe(**arguments_of(backbone))


@pytest.mark.parametrize("name", list(TINY))
def test_a_source_gives_what_the_baselines_need(name: str, make_source) -> None:
    source = make_source(name, baselines=True, subjects=words)
    samples = source.generate(PROMPTS, SEEDS, (1, 2))
    assert samples.preview_quality.shape == (2, 2)
    assert samples.preview_quality[:, 1] == pytest.approx(samples.quality, abs=0.01)
    assert (samples.guidance_difference is None) == (not source.conditions["guidance"]["classifier_free"])
    # The words of the tiny tokenizers are one token each. SD3 has the tokens of CLIP, then those of T5.
    both = name == "sd3"
    assert samples.subject_mask[0].nonzero()[0].tolist() == ([1, 4] if both else [1])
    assert samples.subject_mask[1].nonzero()[0].tolist() == ([2, 5, 9, 12] if both else [2, 5])
    plain = make_source(name).generate(PROMPTS, SEEDS, (1, 2))
    assert np.array_equal(plain.attention, samples.attention)
    assert np.array_equal(plain.quality, samples.quality)


def test_a_prompt_without_a_subject_is_named_before_an_image_is_drawn(make_source) -> None:
    with pytest.raises(ValueError, match=r"--subjects names no word of the prompt 'a cat': \[\]"):
        make_source("sd15", subjects=lambda prompts: [[] for _ in prompts])
    with pytest.raises(ValueError, match="returned 0 lists of words for 8 prompts"):
        make_source("sd15", subjects=lambda prompts: [])
