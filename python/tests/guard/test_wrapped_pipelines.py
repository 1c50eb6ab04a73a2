"""Each wrapper and mode is right, in its maps and in a guarded run, or is refused before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from diffusion_probe.capture import AttentionCapture, AttentionObserver, CaptureError
from diffusion_probe.check import check_pipeline
from diffusion_probe.families import text_layers
from diffusion_probe.tiny import TinyBackbone
from diffusion_probe.tiny.backbone import HEIGHT, WIDTH

from ..families.supported_pipelines import PAGE, page_with
from .wrapped_pipelines import BEGIN, END, MODES, RIGHT, Mode, table

TOLERANCE = 1e-4
ROUNDING = 2**-10  # of float16
ROUGH = 0.05  # of an image in [0, 1] that was drawn in bfloat16
CASES = [pytest.param(mode, name, id=f"{mode.name}-{name}") for mode in MODES for name in mode.backbones]


@pytest.fixture(autouse=True)
def one_rank() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
    torch.compiler.reset()


def maps_of(pipe: Any, arguments: dict[str, Any]) -> np.ndarray:
    run = AttentionCapture(pipe, ["*"], [2], (4, 4))(**arguments)
    assert run.missing == {}
    return run.steps[2].attention.astype(np.float32)


@pytest.mark.parametrize(("mode", "name"), CASES)
def test_maps_and_guarded_images_are_right(mode: Mode, name: str, guard_dropping) -> None:
    if mode.needs:
        pytest.importorskip(mode.needs)
    backbone, other = TinyBackbone(name), TinyBackbone(name)
    mode.change(backbone.pipe)
    if mode.result != RIGHT:
        with pytest.raises(CaptureError, match=mode.result):
            AttentionCapture(backbone.pipe, steps=[2])
        with pytest.raises(CaptureError, match=mode.result):
            guard_dropping(backbone, 1)
        return
    mode.same_as(other.pipe)
    with mode.during():
        images = backbone(images=4)
        if mode.rounds:
            report = check_pipeline(backbone.pipe, backbone.settings, ["*"])
            assert report.ok, str(report)
        else:
            expected = maps_of(other.pipe, other.arguments())
            np.testing.assert_allclose(maps_of(backbone.pipe, backbone.arguments()), expected, atol=TOLERANCE, rtol=ROUNDING)
        guarded = guard_dropping(backbone, 1)(**backbone.arguments(images=4))
    assert guarded.failures == ()
    assert [sample.index for sample in guarded.kept] == [0, 2, 3]
    kept = np.stack([sample.image for sample in guarded.kept])
    np.testing.assert_allclose(kept, images[[0, 2, 3]], atol=ROUGH if mode.rounds else TOLERANCE)


def test_an_observer_takes_a_denoiser_that_is_wrapped_for_several_processes() -> None:
    backbone = TinyBackbone("sd15")
    layers = list(text_layers(backbone.pipe))
    probe = {
        "name": "own",
        "version": 1,
        "capture": {"layers": layers, "height": 4, "width": 4, "heads": "mean", "pooling": "area"},
        "capture_id": "0123456789abcdef",
        "decision_points": [{"step": 1, "timestep": 0.0, "tolerance": 2.0}],
    }
    taken = []
    for denoiser in (backbone.denoiser, DistributedDataParallel(backbone.denoiser)):
        observer = AttentionObserver(probe, [1, 2], (HEIGHT, WIDTH))
        generator = torch.Generator().manual_seed(0)
        latents, text = torch.randn(2, 4, 16, 24, generator=generator), torch.randn(2, 20, 32, generator=generator)
        with torch.no_grad(), observer.watch(denoiser):
            denoiser(latents, torch.tensor(500), encoder_hidden_states=text)
            assert observer.due(1)
        taken.append(observer.take().attention)
    assert np.array_equal(*taken)


def test_the_page_shows_the_rows() -> None:
    """See wrapped_pipelines.py for the command that writes them."""
    assert PAGE.read_text() == page_with(table(), BEGIN, END)
