"""Every block of docs/bring-your-own.md runs as it stands there, on a tiny pipeline."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from diffusion_probe.capture import AttentionCapture, CaptureError
from diffusion_probe.cli import main
from diffusion_probe.families import FAMILIES
from diffusion_probe.tiny import TinyBackbone
from diffusion_probe.tiny.backbone import HEIGHT, WIDTH

PAGE = (Path(__file__).parents[3] / "docs" / "bring-your-own.md").read_text()
ROW, CHECK, OBSERVER, CHECK_OBSERVER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LAYERS = ["mid_block.attentions.0.transformer_blocks.0.attn2", "up_blocks.0.attentions.0.transformer_blocks.0.attn2"]
PROBE = {
    "name": "own",
    "version": 1,
    "capture": {"layers": LAYERS, "height": 4, "width": 4, "heads": "mean", "pooling": "area"},
    "capture_id": "0123456789abcdef",
    "decision_points": [{"step": 2, "timestep": 0.0, "tolerance": 2.0}],
}


class MyPipeline(StableDiffusionPipeline):
    """Not a supported class, once its base is none."""


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pipeline whose class has no row."""
    monkeypatch.delitem(FAMILIES, "StableDiffusionPipeline")
    pipe = TinyBackbone("sd15").pipe
    pipe.__class__ = MyPipeline
    yield pipe
    FAMILIES.pop("MyPipeline", None)


def test_a_row_in_ones_own_code_is_checked(pipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match="MyPipeline is not supported"):
        AttentionCapture(pipe)
    exec(ROW + CHECK, {"pipe": pipe, "call": {"height": HEIGHT, "width": WIDTH}})
    assert "Right: the maps of all" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_passes(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "diffusion-probe"
    assert main(arguments) == 0


def test_an_observer_in_ones_own_loop_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = TinyBackbone("sd15").pipe

    @torch.no_grad()
    def my_loop(prompt: str, seed: int) -> Iterator[int]:
        text = torch.cat(pipe.encode_prompt(prompt, "cpu", 2, True)[::-1])
        pipe.scheduler.set_timesteps(3)
        shape = (2, 4, HEIGHT // 2, WIDTH // 2)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * pipe.scheduler.init_noise_sigma
        for step, timestep in enumerate(pipe.scheduler.timesteps, 1):
            scaled = pipe.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            without, with_text = pipe.unet(scaled, timestep, encoder_hidden_states=text).sample.chunk(2)
            latents = pipe.scheduler.step(without + 3 * (with_text - without), timestep, latents).prev_sample
            yield step

    names = {"probe": PROBE, "denoiser": pipe.unet, "text_encoder": pipe.text_encoder, "my_loop": my_loop}
    exec(OBSERVER + CHECK_OBSERVER, names)
    assert "Right: the maps of all 2 layers" in capsys.readouterr().out
