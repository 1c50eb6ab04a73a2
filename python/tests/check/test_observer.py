"""The check of an observer finds mistakes in how a loop of one's own uses it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion_probe.capture import AttentionObserver, CaptureError, ObservedStep
from diffusion_probe.check import Report, check_observer
from diffusion_probe.tiny.encoders import WIDTH, clip_encoder
from diffusion_probe.tiny.tokenizers import clip_tokenizer

HEADS, LENGTH = 4, 12
SIZE = (4, 6)
LAYERS = ["first", "second"]
PROBE = {
    "name": "own",
    "version": 1,
    "capture": {"layers": LAYERS, "height": 2, "width": 3, "heads": "mean", "pooling": "area"},
    "capture_id": "0123456789abcdef",
    "decision_points": [{"step": 2, "timestep": 0.0, "tolerance": 2.0}],
}


class CrossAttention(nn.Module):
    """Attention from the image to the text, with a bias for each key and a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.scale = 0.7
        self.fused = True
        self.observer: AttentionObserver | None = None
        self.name = ""
        self.changes: dict[str, Any] = {}

    def forward(self, image: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, x in ((self.query, image), (self.key, text), (self.value, text))
        )
        if self.observer is not None:
            self.observer.add(self.name, query, key, **{"mask": bias, "scale": self.scale, **self.changes})
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value, bias, scale=self.scale)
        else:
            mixed = (query @ key.transpose(2, 3) * self.scale + bias).softmax(-1) @ value
        return image + mixed.transpose(1, 2).flatten(2)


class Denoiser(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = CrossAttention(), CrossAttention()

    def forward(self, image: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        return self.second(self.first(image, text, bias), text, bias)


class Loop:
    """A loop of three steps with guidance in one batch: the rows that see the prompt are the last half."""

    def __init__(self, text: range = range(1, 5), fused: bool = True, added: bool = False, **options: Any):
        torch.manual_seed(0)
        self.encoder, self.tokenizer, self.denoiser = clip_encoder(), clip_tokenizer(LENGTH), Denoiser().eval()
        self.observer = AttentionObserver(PROBE, text, SIZE, **{"rows": "last half", **options})
        self.added = added
        for name in LAYERS:
            layer = getattr(self.denoiser, name)
            layer.name, layer.fused, layer.observer = name, fused, self.observer if added else None

    @torch.no_grad()
    def draw(self, prompt: str, seed: int) -> ObservedStep:
        texts = ["", "", prompt, prompt]
        batch = self.tokenizer(texts, padding="max_length", max_length=LENGTH, return_tensors="pt")
        text = self.encoder(batch.input_ids)[0]
        bias = (batch.attention_mask - 1)[:, None, None] * 2.0
        image = torch.randn(2, SIZE[0] * SIZE[1], WIDTH, generator=torch.Generator().manual_seed(seed))
        for step in (1, 2, 3):
            both = self.denoiser(torch.cat([image, image]), text, bias)
            image = both.chunk(2)[1]
            if self.observer.due(step):
                return self.observer.take()
        raise AssertionError("no step was due")

    def check(self) -> Report:
        def watched(prompt: str, seed: int) -> ObservedStep:
            with self.observer.watch(self.denoiser):
                return self.draw(prompt, seed)

        draw = self.draw if self.added else watched
        return check_observer(self.observer, draw, self.denoiser, PROBE, SIZE, [self.encoder])


@pytest.mark.parametrize("options", [{}, {"added": True}, {"added": True, "fused": False}])
def test_what_is_read_as_it_should_be_is_right(options: dict[str, bool]) -> None:
    report = Loop(**options).check()
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"scale": 1.4}, {"added": True}),
        ({"mask": None}, {"added": True}),
        ({}, {"rows": "first half"}),
        ({}, {"rows": "all"}),
        ({}, {"text": range(2, 6)}),
        ({}, {"text": range(0, 4)}),
        ({}, {"text": range(2, 6), "added": True, "fused": False}),
    ],
    ids=["scale", "mask", "other half", "both halves", "one to the right", "one to the left", "shifted by hand"],
)
def test_a_mistake_is_found(changes: dict[str, Any], options: dict[str, Any]) -> None:
    loop = Loop(**options)
    for name in LAYERS:
        getattr(loop.denoiser, name).changes = changes
    report = loop.check()
    assert not report.ok, str(report)
    assert "Wrong: the maps of 2 of 2 layers" in str(report)


def test_a_layer_that_is_not_there_is_named() -> None:
    loop = Loop()
    with pytest.raises(CaptureError, match="the denoiser has no layer 'first'"):
        check_observer(loop.observer, loop.draw, nn.Linear(1, 1), PROBE, SIZE)


def test_attention_that_does_not_see_the_prompt_is_named() -> None:
    loop = Loop()
    loop.tokenizer = lambda texts, **options: clip_tokenizer(LENGTH)([""] * len(texts), **options)
    with pytest.raises(CaptureError, match="no key of the layer first depends on the words of the prompt"):
        loop.check()
