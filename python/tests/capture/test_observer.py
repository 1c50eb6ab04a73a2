"""An observer in a loop of one's own reads what the capture of the pipeline reads, at the probe's steps only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from diffusion_probe.capture import AttentionCapture, AttentionObserver, CaptureError, attention_maps
from diffusion_probe.families import family_of, text_layers
from diffusion_probe.families.tokens import prompt_tokens
from diffusion_probe.tiny.backbone import HEIGHT, TEXT_LENGTH, WIDTH

GRID = (4, 4)
# Of each backbone: where the text stands in joint attention, and which rows see the prompt.
WATCHED = {
    "sd15": {"rows": "last half"},
    "sdxl": {"rows": "last half"},
    "sd3": {"rows": "last half"},
    "flux": {"text_block": (0, TEXT_LENGTH)},
}


def manifest_of(layers: list[str], **changes: Any) -> dict[str, Any]:
    """What an observer reads of a manifest."""
    capture = {"layers": layers, "height": GRID[0], "width": GRID[1], "heads": "mean", "pooling": "area", **changes}
    points = [{"step": step, "timestep": 0.0, "tolerance": 2.0} for step in (2, 3)]
    return {"name": "own", "version": 7, "capture": capture, "capture_id": "0123456789abcdef", "decision_points": points}


def run_arguments(backbone) -> dict[str, Any]:
    """The pipeline's arguments that its tokens depend on."""
    return {"max_sequence_length": TEXT_LENGTH, **backbone.arguments()}


def observer_of(backbone, text: list[int], **options: Any) -> AttentionObserver:
    return AttentionObserver(manifest_of(list(text_layers(backbone.pipe))), text, (HEIGHT, WIDTH), **options)


@pytest.mark.parametrize("name", WATCHED)
def test_a_loop_reads_what_the_capture_of_the_pipeline_reads(make_backbone, name: str) -> None:
    backbone = make_backbone(name)
    options = dict(WATCHED[name])
    run = AttentionCapture(backbone.pipe, ["*"], steps=[2, 3], grid=GRID)(**backbone.arguments())
    mask = prompt_tokens(backbone.pipe, run_arguments(backbone), family_of(backbone.pipe).tokens)[0]
    if name == "sd3":
        shape = (HEIGHT // backbone.pipe.vae_scale_factor // 2) * (WIDTH // backbone.pipe.vae_scale_factor // 2)
        options["text_block"] = (shape, shape + len(mask))
    observer = observer_of(backbone, np.flatnonzero(mask).tolist(), **options)
    taken = {}

    def after_step(pipe: Any, index: int, timestep: Any, kwargs: dict) -> dict:
        if observer.due(index + 1):
            taken[index + 1] = observer.take()
        return kwargs

    with observer.watch(backbone.denoiser):
        images = backbone(callback_on_step_end=after_step)
    assert np.array_equal(images, run.output.images)
    assert list(taken) == [2, 3]
    for step, observed in taken.items():
        assert np.array_equal(observed.attention, run.steps[step].attention)
        assert (observed.missing, observed.model, observed.capture_id) == ((), "own@7", "0123456789abcdef")
        assert observed.token_mask.shape == (2, mask.sum())


def test_attention_of_ones_own_is_added_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 3, 24, 5, generator=generator), torch.randn(2, 3, 7, 5, generator=generator)
    bias = torch.randn(2, 1, 1, 7, generator=generator)
    observer = AttentionObserver(manifest_of(["one"]), [1, 4], (4, 6), steps=[2])
    assert not observer.is_due
    observer.add("one", query, key)
    assert not observer.due(1)
    assert observer.is_due
    observer.add("one", query, key, bias, scale=0.3)
    observer.add("another", query, key)
    assert observer.due(2)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * 0.3 + bias
    probabilities = (scores.exp() / scores.exp().sum(-1, keepdim=True)).mean(1)[..., [1, 4]]
    expected = torch.nn.functional.adaptive_avg_pool2d(probabilities.transpose(1, 2).reshape(2, 2, 4, 6), GRID)
    np.testing.assert_allclose(observer.take().attention[:, 0], expected, atol=1e-3)
    direct = attention_maps(query, key, [1, 4], 0.3, bias, size=(4, 6), grid=GRID)
    np.testing.assert_allclose(direct, expected, atol=1e-3)


@pytest.mark.parametrize(("block", "image"), [((0, 3), slice(3, 9)), ((6, 9), slice(0, 6))])
def test_in_joint_attention_the_image_is_what_is_not_text(block: tuple[int, int], image: slice) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 2, 9, 4, generator=generator) for _ in range(2))
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(4)
    expected = scores.softmax(-1).mean(1)[0, image][:, block[0] + 1].reshape(2, 3)
    maps = attention_maps(query, key, [1], size=(20, 30), text_block=block, grid=(2, 3))
    np.testing.assert_allclose(maps[0, 0], expected, atol=1e-3)


def test_layers_that_do_not_run_are_named() -> None:
    observer = AttentionObserver(manifest_of(["one", "two"]), [0], (2, 2))
    observer.due(1)
    observer.add("two", torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 3, 2))
    assert observer.due(2)
    observed = observer.take()
    assert (observed.attention, observed.missing) == (None, ("one",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionObserver(manifest_of(["one"]), [], (2, 2)), "text holds no position"),
        (lambda: AttentionObserver(manifest_of(["one"]), [0], (2, 2), steps=[4]), r"expected some of \[2, 3\]"),
        (lambda: AttentionObserver(manifest_of(["one"], heads="largest"), [0], (2, 2)), "the probe's heads are 'largest'"),
        (lambda: attention_maps(torch.zeros(1, 1, 5, 2), torch.zeros(1, 1, 3, 2), [0], size=(2, 2)), "5 image positions"),
        (lambda: attention_maps(torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 3, 2), [3], size=(2, 2)), "text position 3"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_denoiser_without_a_layer_is_refused_before_the_first_step(make_backbone) -> None:
    observer = AttentionObserver(manifest_of(["elsewhere"]), [0], (2, 2))
    with (
        pytest.raises(CaptureError, match="the denoiser has no layer 'elsewhere'"),
        observer.watch(make_backbone("sd15").denoiser),
    ):
        pass


class Cross(torch.nn.Module):
    """Cross-attention without a projection, whose call takes anything."""

    def forward(self, latents: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
        text = named["text"]
        self.seen = (others, sorted(named))
        return torch.nn.functional.scaled_dot_product_attention(latents, text, text)


class Wrapper(torch.nn.Module):
    """A denoiser that passes on what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.cross = Cross()

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.cross(*args, **kwargs)


def test_a_denoiser_gets_its_arguments_as_the_loop_gives_them() -> None:
    denoiser, latents, text = Wrapper(), torch.randn(1, 2, 6, 4), torch.randn(1, 2, 3, 4)
    observer = AttentionObserver(manifest_of(["cross"]), [0, 2], (2, 3))
    with observer.watch(denoiser):
        for step in (1, 2):
            output = denoiser(latents, 5, text=text, other=None)
            assert denoiser.cross.seen == ((5,), ["other", "text"])
            assert observer.due(step) == (step == 2)
    assert torch.equal(output, denoiser(latents, 5, text=text))
    expected = attention_maps(latents, text, [0, 2], size=(2, 3), grid=GRID)
    np.testing.assert_array_equal(observer.take().attention[:, 0], expected)


@pytest.mark.parametrize("shape", [(6, 3), (1, 3), (2, 6, 3), (1, 1, 1, 3)])
def test_a_mask_has_the_axes_that_the_attention_takes(shape: tuple[int, ...]) -> None:
    query, key = torch.randn(2, 2, 6, 4), torch.randn(2, 2, 3, 4)
    mask = torch.randn(shape)
    expected = (query @ key.transpose(-1, -2) / 2 + mask).softmax(-1).mean(1).transpose(1, 2).unflatten(2, (2, 3))
    maps = attention_maps(query, key, [0, 1, 2], None, mask, size=(2, 3), grid=(2, 3))
    np.testing.assert_allclose(maps, expected, atol=1e-3)
