"""Every supported pipeline: captured maps equal those of the whole softmax matrix. See slow_reference.py and family_case.py."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diffusion_probe.capture import AttentionCapture, CaptureError, reduction
from diffusion_probe.capture.reduction import pool
from diffusion_probe.families import FAMILIES, family_of, text_layers

from ..capture.slow_reference import Recorder
from .family_case import IMAGES, Case
from .supported_pipelines import CASES, PAGE, REFUSED, page_with, table

GRID = (4, 4)
TOLERANCE = 1e-4


@pytest.fixture
def unrounded(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Collects the maps of each image in float32, before capture rounds them to 16 bits."""
    maps: list[torch.Tensor] = []

    def collect(*args) -> torch.Tensor:
        maps.append(pool(*args))
        return maps[-1]

    monkeypatch.setattr(reduction, "pool", collect)
    return maps


def timesteps_of(denoiser: nn.Module, argument: str) -> list[float]:
    """Collects the timestep of each call of a denoiser."""
    timesteps: list[float] = []
    signature = inspect.signature(denoiser.forward)

    def collect(module: nn.Module, args: tuple, kwargs: dict) -> None:
        timesteps.append(float(torch.as_tensor(signature.bind(*args, **kwargs).arguments[argument]).flatten()[0]))

    denoiser.register_forward_pre_hook(collect, with_kwargs=True)
    return timesteps


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_maps_equal_those_of_the_whole_softmax(
    case: Case, unrounded: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in case.patches.items():
        monkeypatch.setattr(name, value)
    pipe = case.build()
    denoiser = getattr(pipe, family_of(pipe).denoiser)
    modules = text_layers(pipe)
    recorder = Recorder(modules)
    given = timesteps_of(denoiser, family_of(pipe).timestep)
    call = {
        "prompt": list(case.prompts),
        "num_images_per_prompt": IMAGES,
        "generator": torch.Generator().manual_seed(0),
        **case.call,
    }
    run = AttentionCapture(pipe, layers=["*"], steps=[2], grid=GRID)(**call, output_type="latent")

    captured = run.steps[2]
    steps = len(given) // case.calls
    assert captured.total_steps == steps
    assert captured.timestep == pytest.approx(float(pipe.scheduler.timesteps[-steps:][1]))
    passed = family_of(pipe).passed_timestep(torch.tensor(captured.timestep))
    assert given[case.calls] == pytest.approx(float(passed), rel=1e-5)
    assert run.conditions["guidance"] == case.guidance
    assert [run.conditions["call"][side] for side in ("height", "width")] == [
        case.call.get("height", 32),
        case.call.get("width", 48),
    ]
    assert len(run.conditions["timesteps"]) == steps
    images = len(case.prompts) * IMAGES
    assert captured.attention.shape == (images, len(modules), max(len(own) for own in case.text), *GRID)
    order = list(recorder.calls)
    apart = 0.0
    for index, layer in enumerate(run.settings.layers):
        whole = case.reference(modules[layer], recorder.calls[layer][case.calls])
        whole = whole[case.part * images : (case.part + 1) * images]
        height, width = case.size(layer)
        for image in range(images):
            own = case.text[image * len(case.text) // images]
            start = case.image_start[image * len(case.image_start) // images]
            keys = [key for key in own if key is not None]
            maps = whole[image, keys, start : start + height * width].unflatten(1, (height, width))
            exact = F.adaptive_avg_pool2d(maps, GRID).numpy()
            np.testing.assert_allclose(unrounded[order.index(layer) * images + image], exact, atol=TOLERANCE, rtol=0)
            if image == 0:
                other = whole[1, keys, start : start + height * width].unflatten(1, (height, width))
                apart = max(apart, float((F.adaptive_avg_pool2d(other, GRID) - torch.from_numpy(exact)).abs().max()))
            expected = np.pad(exact, ((0, len(own) - len(keys)), (0, 0), (0, 0)))
            np.testing.assert_allclose(captured.attention[image, index, : len(own)], expected, atol=6e-4)
            assert not captured.attention[image, index, len(own) :].any()
            assert captured.token_mask[image].sum() == len(own)
    assert apart > 10 * TOLERANCE, "the case could not tell one image from another"


def test_every_supported_pipeline_has_a_case() -> None:
    assert {case.pipeline for case in CASES} == set(FAMILIES)


@pytest.mark.parametrize("name", [*REFUSED, "StableCascadePipeline"])
def test_other_pipelines_are_refused_by_name(name: str) -> None:
    with pytest.raises(CaptureError, match=f"{name} is not supported: .*docs/bring-your-own.md"):
        AttentionCapture(type(name, (), {})())


def test_the_page_shows_the_table() -> None:
    """See supported_pipelines.py for the command that writes it."""
    assert PAGE.read_text() == page_with(table())
