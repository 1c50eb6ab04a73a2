"""Captured maps equal the softmax matrix, computed in float64 from the arguments of each attention module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_probe.capture import AttentionCapture
from diffusion_probe.families import text_layers

from . import slow_reference as reference
from .slow_reference import Recorder

GRID = (4, 4)
ROUNDING = 6e-4  # float16, near 1
PROMPTS = ["a cat on the banana", "two dog"]
WORDS = (6, 3)  # with the end of text
CLIP_LENGTH = 20
FLUX_TEXT = 24
IMAGE = 8 * 12  # image positions of SD3

LAYERS = {
    "sd15": 7,
    "sdxl": 8,
    "sd3": 3,  # without the second attention of the first block, which is self-attention of the image
    "flux": 4,
    "qwen-image": 3,
}


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["one prompt", "two prompts"])
def test_maps_equal_those_of_the_whole_softmax(backbone, prompts: list[str]) -> None:
    recorder = Recorder(text_layers(backbone.pipe))
    run = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)(**backbone.arguments(prompts=prompts))
    assert len(run.settings.layers) == LAYERS[backbone.name]
    call = 2 if backbone.name == "qwen-image" else 1  # two calls per step: the conditional call of step 2 is the third
    compare(backbone, run, recorder, call, len(prompts))


def test_without_guidance_every_row_is_an_image(make_backbone) -> None:
    backbone = make_backbone("sdxl")
    recorder = Recorder(text_layers(backbone.pipe))
    run = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)(**backbone.arguments(guidance_scale=1.0))
    compare(backbone, run, recorder, 1, 1)


def test_flux_with_true_guidance_captures_the_call_with_the_prompt(make_backbone) -> None:
    backbone = make_backbone("flux")
    recorder = Recorder(text_layers(backbone.pipe))
    arguments = backbone.arguments(negative_prompt="two dog", true_cfg_scale=2.0)
    run = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)(**arguments)
    assert run.conditions["guidance"]["classifier_free"] == 2.0
    compare(backbone, run, recorder, 2, 1)


def test_skip_layer_guidance_of_sd3_does_not_count_as_a_step(make_backbone) -> None:
    backbone = make_backbone("sd3")
    recorder = Recorder(text_layers(backbone.pipe))
    arguments = backbone.arguments(skip_guidance_layers=[0], skip_layer_guidance_start=-1.0, skip_layer_guidance_stop=1.0)
    run = AttentionCapture(backbone.pipe, layers=["*attn"], steps=[2], grid=GRID)(**arguments)
    assert len(recorder.calls["transformer_blocks.1.attn"]) == 8
    recorder.calls["transformer_blocks.1.attn"] = recorder.calls["transformer_blocks.1.attn"][::2]
    recorder.calls["transformer_blocks.2.attn"] = recorder.calls["transformer_blocks.2.attn"][::2]
    compare(backbone, run, recorder, 1, 1)


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux"])  # Qwen-Image, and SD3.5 with its second attentions, do not fuse
def test_fused_projections_give_the_same_maps(make_backbone, name: str) -> None:
    backbone = make_backbone(name)
    capture = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)
    plain = capture(**backbone.arguments()).steps[2].attention
    backbone.denoiser.fuse_qkv_projections()
    assert any(module.fused_projections for module in text_layers(backbone.pipe).values())
    np.testing.assert_allclose(capture(**backbone.arguments()).steps[2].attention, plain, atol=ROUNDING)


def test_sixteen_bit_pipelines_give_finite_maps_near_those_of_full_precision(make_backbone) -> None:
    backbone = make_backbone("flux")
    capture = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)
    full = capture(**backbone.arguments()).steps[2]
    backbone.pipe.to(torch.bfloat16)
    half = capture(**backbone.arguments()).steps[2]
    assert half.timestep == full.timestep, "the timestep comes from the scheduler, since bfloat16 would round it"
    np.testing.assert_allclose(half.attention, full.attention, atol=0.01)


def test_embeddings_longer_than_one_text_window_are_captured_completely(make_backbone) -> None:
    backbone = make_backbone("sd15")
    embeddings = torch.randn(1, 2 * CLIP_LENGTH, 32, generator=torch.Generator().manual_seed(1))
    mask = np.ones((1, 2 * CLIP_LENGTH), bool)
    arguments = backbone.arguments(prompts=None, prompt_embeds=embeddings, negative_prompt_embeds=embeddings)
    run = AttentionCapture(backbone.pipe, layers=["*"], steps=[2], grid=GRID)(**arguments, token_mask=mask)
    np.testing.assert_allclose(run.steps[2].attention.sum(axis=2), 1, atol=0.01)


def compare(backbone, run, recorder: Recorder, call: int, prompts: int) -> None:
    """Compare the maps of a run with those computed from the recorded call of each layer."""
    captured = run.steps[2]
    words = [word_positions(backbone.name, prompt) for prompt in range(prompts)]
    assert captured.attention.dtype == np.float16
    assert captured.attention.shape == (2 * prompts, len(run.settings.layers), len(words[0]), *GRID)
    for index, layer in enumerate(run.settings.layers):
        whole = probabilities(backbone, layer, recorder.calls[layer][call])[-2 * prompts :]
        for image in range(2 * prompts):
            own = words[image // 2]
            maps = whole[image, own].reshape(len(own), *sizes(backbone.name, layer))
            expected = F.adaptive_avg_pool2d(maps, GRID).numpy()
            np.testing.assert_allclose(captured.attention[image, index, : len(own)], expected, atol=ROUNDING, rtol=1e-3)
            assert not captured.attention[image, index, len(own) :].any()
            assert captured.token_mask[image].tolist() == [1] * len(own) + [0] * (len(words[0]) - len(own))


def sizes(name: str, layer: str) -> tuple[int, int]:
    """Height and width of a layer's maps for 32 x 48 pixels."""
    if name in ("sd15", "sdxl"):
        coarse = layer.startswith(("mid", "down_blocks.1", "up_blocks.0"))
        return (8, 12) if coarse else (16, 24)
    return {"sd3": (8, 12), "flux": (8, 12), "qwen-image": (4, 6)}[name]


def word_positions(name: str, prompt: int) -> list[int]:
    """The text positions of a prompt's words."""
    words = range(WORDS[prompt])
    clip = [1 + word for word in words]
    return {
        "sd15": clip,
        "sdxl": clip,
        "sd3": clip + [CLIP_LENGTH + word for word in words],
        "flux": list(words),
        "qwen-image": list(words),
    }[name]


@torch.no_grad()
def probabilities(backbone, layer: str, kwargs: dict[str, Any]) -> Tensor:
    """Probability of each text position at each image position, mean over heads: float64 [rows, text, image]."""
    compute, keys, queries = {
        "sd15": (reference.cross, 0, 0),
        "sdxl": (reference.cross, 0, 0),
        "sd3": (reference.sd3, IMAGE, 0),
        "flux": (reference.flux, 0, FLUX_TEXT),
        "qwen-image": (reference.qwen, 0, 0),
    }[backbone.name]
    whole = compute(text_layers(backbone.pipe)[layer], kwargs)[:, keys:, queries:]
    return whole[..., :IMAGE] if backbone.name == "sd3" else whole
