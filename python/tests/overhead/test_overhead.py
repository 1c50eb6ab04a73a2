"""The cost of capture: denoisers have their published sizes, operations add up, and the command prints its tables."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.client.requests import score_request
from diffusion_probe.families.layout import Layout
from diffusion_probe.overhead.attention_shapes import AttentionShape, attention_shapes
from diffusion_probe.overhead.backbones import FULL_SIZE
from diffusion_probe.overhead.measure import bytes_per_sample
from diffusion_probe.overhead.timing import milliseconds, time_alternating
from diffusion_probe.tiny import TINY

CPU = torch.device("cpu")
MILLION = 1_000_000
# Of the published weights, in millions.
PARAMETERS = {"sd15": 860, "sdxl": 2567, "sd3": 2243, "flux": 11_901, "qwen-image": 20_430}


@pytest.mark.parametrize("name", list(FULL_SIZE))
def test_a_denoiser_has_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        denoiser = FULL_SIZE[name].denoiser()
    assert sum(weight.numel() for weight in denoiser.parameters()) // MILLION == pytest.approx(PARAMETERS[name], abs=1)


def test_every_backbone_is_measured() -> None:
    assert set(FULL_SIZE) == set(TINY)


def test_the_attention_calls_of_a_unet_are_found() -> None:
    shapes = attention_shapes("sd15")
    cross = {shape: count for shape, count in shapes.attention.items() if shape.keys == 77}
    assert sum(cross.values()) == shapes.text_layers == 16
    assert cross[AttentionShape(8, 40, 4096, 77)] == 5
    assert set(shapes.captured) <= set(cross)
    assert shapes.captured_layers == 10
    assert shapes.layouts[AttentionShape(8, 160, 64, 77)] == Layout(slice(0, 64), slice(0, 77), (8, 8))
    assert shapes.capture_flops == sum(2 * s.heads * s.head_dim * s.queries * 77 * n for s, n in shapes.captured.items())
    assert 0 < shapes.capture_flops < shapes.flops


def test_bytes_per_sample_are_those_of_the_request() -> None:
    small, large = bytes_per_sample(2, 3, (4, 4)), bytes_per_sample(10, 20)
    assert 2 * 3 * 16 * 2 < small < 2 * 3 * 16 * 2 + 200
    assert large - 10 * 20 * 256 * 2 < 200
    bare = score_request(np.zeros((8, 2, 3, 4, 4), np.float16), 500.0).encode()
    assert len(bare) / 8 < small


def test_timed_actions_alternate_after_a_warm_up_round() -> None:
    order: list[str] = []
    seconds = time_alternating([lambda: order.append("a"), lambda: order.append("b")], 2, CPU)
    assert "".join(order) == "baabba"
    assert [len(own) for own in seconds] == [2, 2]
    assert all(second >= 0 for own in seconds for second in own)


def test_the_median_is_printed_with_the_quartiles() -> None:
    assert milliseconds([0.001, 0.002, 0.003, 0.004, 1.0]) == "3 (2 to 4)"


def test_the_command_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead", "--backbone", "sd15", "--pairs", "2", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    tables = text.split("\n\n| ")
    assert len(tables) == 5
    for table in tables[1:]:
        lines = ("| " + table.split("\n\n")[0]).strip().splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert "sd15" in table
    memory = re.search(r"\| (\d+) MB \|", text)
    assert memory is not None
    assert 0 < int(memory.group(1)) < 200
    assert "ratios on a GPU differ" in text
    assert "| sd15, 512² | 10 of 16 |" in text


def test_the_error_names_a_missing_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead", "--device", "nonsense"]) == 2
    assert "the device nonsense cannot be used" in capsys.readouterr().err
