"""Cases of tests/capture/test_families.py: tiny pipelines of each supported class, and where their image and text positions are.

In the folder `python`: `python -m tests.capture.family_cases > ../docs/supported-pipelines.md` writes the page.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from torch import Tensor

from diffusion_probe.tiny import pipelines as tiny

from . import slow_reference as reference

HEIGHT, WIDTH = 32, 48
PROMPTS = ["a cat on the banana", "two dog"]
IMAGES = 2  # per prompt
WORDS = (6, 3)  # of each prompt, with the end of text
CLIP, T5 = 20, 24  # text positions


@dataclass(frozen=True)
class Case:
    """A call of a tiny pipeline, and what the slow reference needs to know about it."""

    pipeline: str  # the class
    make: Callable[[], Any]
    call: dict[str, Any]
    reference: Callable[[Any, dict[str, Any]], Tensor]
    text: Sequence[Sequence[int]]  # for each prompt, the keys that are its tokens
    size: Callable[[str], tuple[int, int]]  # of a layer: height and width of the image
    image_start: Sequence[int] = (0, 0)  # for each prompt, the first query that is an image position
    part: int = 0  # which of the parts of the batch sees the prompt
    calls: int = 1  # of the denoiser for one step
    guidance: dict[str, float | None] = field(default_factory=dict)  # of the conditions
    label: str = ""

    @property
    def name(self) -> str:
        """The test's."""
        return self.pipeline + self.label

    def build(self) -> Any:
        """The pipeline; the same weights each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(self.pipeline.encode()))
            pipe = self.make()
        pipe.set_progress_bar_config(disable=True)
        return pipe


def picture(channels: int = 3) -> Tensor:
    """A random picture, or with one channel a mask."""
    drawn = torch.rand(1, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
    return drawn.round() if channels == 1 else drawn


SIZE = {"height": HEIGHT, "width": WIDTH}
GUIDED = {"classifier_free": 5.0, "embedded": None}
# Of five steps three are taken.
FROM_IMAGE = {"num_inference_steps": 5, "strength": 0.6}


def arguments_of(kind: str) -> dict[str, Any]:
    """Arguments that a kind of pipeline needs beside the prompt."""
    arguments = dict(SIZE)
    if "Img2Img" in kind or "Inpaint" in kind:
        arguments |= FROM_IMAGE | {"image": picture()}
    if "Inpaint" in kind:
        arguments |= {"mask_image": picture(1)}
    if "Control" in kind:
        arguments |= {"control_image": picture()}
    return arguments


def made_from(base: Callable[[], Any], name: str, **changes: Callable[[Any], Any]) -> Callable[[], Any]:
    """A builder of another class with the components of `base`. `changes` make further components from the base."""

    def make() -> Any:
        pipe = base()
        wanted = inspect.signature(getattr(diffusers, name).__init__).parameters
        parts = {part: value for part, value in pipe.components.items() if part in wanted}
        parts |= {part: change(pipe) for part, change in changes.items() if part in wanted}
        if "requires_safety_checker" in wanted:
            parts["requires_safety_checker"] = False
        made = getattr(diffusers, name)(**parts)
        if hasattr(pipe, "prompt_template_encode_start_idx"):
            made.prompt_template_encode_start_idx = pipe.prompt_template_encode_start_idx
        return made

    return make


def changed(component: str, **config: Any) -> Callable[[Any], Any]:
    """Makes a component of another configuration."""
    return lambda pipe: type(pipe.components[component]).from_config({**pipe.components[component].config, **config}).eval()


def filled(module: Any) -> Any:
    """A ControlNet whose output is not zero."""
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return module.eval()


def words(*starts: int) -> list[list[int]]:
    """The text positions of each prompt, where every tokenizer's begin at one of `starts`."""
    return [[start + word for start in starts for word in range(count)] for count in WORDS]


def unet_cases() -> Iterator[Case]:
    """Stable Diffusion 1.5 and XL."""
    kinds = ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint", "PAG", "PAGImg2Img", "PAGInpaint")
    for base, make, own in (
        ("StableDiffusion", tiny.sd15, ("ControlNetPAG", "ControlNetPAGInpaint")),
        ("StableDiffusionXL", tiny.sdxl, ("ControlNetPAG", "ControlNetPAGImg2Img")),
    ):
        for kind in (*kinds, *own):
            name = f"{base}{kind}Pipeline"
            call = {"num_inference_steps": 4, "guidance_scale": 5.0, **arguments_of(kind)}
            if kind in ("ControlNet", "ControlNetPAG"):
                call["image"] = call.pop("control_image")
            if kind.endswith("Img2Img") and "ControlNet" not in kind:
                call = {argument: value for argument, value in call.items() if argument not in SIZE}
            yield Case(
                name,
                made_from(make, name, controlnet=_unet_controlnet),
                call,
                reference.cross,
                words(1),
                _unet_size,
                part=1,
                guidance=GUIDED,
            )


def _unet_controlnet(pipe: Any) -> Any:
    return filled(diffusers.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(16, 32)))


def _unet_size(layer: str) -> tuple[int, int]:
    return (8, 12) if layer.startswith(("mid", "down_blocks.1", "up_blocks.0")) else (16, 24)


def sd3_cases() -> Iterator[Case]:
    """Stable Diffusion 3 and 3.5."""
    for kind in ("", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpainting", "PAG", "PAGImg2Img"):
        name = f"StableDiffusion3{kind}Pipeline"
        call = {"num_inference_steps": 4, "max_sequence_length": T5, "guidance_scale": 5.0, **arguments_of(kind)}
        changes: dict[str, Any] = {"controlnet": _sd3_controlnet(extra_channels=0)}
        if kind == "ControlNetInpainting":
            call = {argument: value for argument, value in call.items() if argument not in ("image", "mask_image", "strength")}
            call |= {"num_inference_steps": 4, "control_mask": picture(1)}
            changes["controlnet"] = _sd3_controlnet(extra_channels=1)
        if "PAG" in kind:  # it leaves out the norms of SD3.5
            changes["transformer"] = changed("transformer", qk_norm=None)
        if kind == "Inpaint":
            changes |= {
                "transformer": changed("transformer", in_channels=16, out_channels=16),
                "vae": changed("vae", latent_channels=16),
            }
        yield Case(
            name,
            made_from(tiny.sd3, name, **changes),
            call,
            reference.sd3,
            words(96 + 1, 96 + CLIP),  # after the image
            lambda layer: (8, 12),
            part=1,
            guidance=GUIDED,
        )


def _sd3_controlnet(extra_channels: int) -> Callable[[Any], Any]:
    def make(pipe: Any) -> Any:
        config = {"num_layers": 1, "extra_conditioning_channels": extra_channels}
        return filled(diffusers.SD3ControlNetModel.from_config({**pipe.transformer.config, **config}))

    return make


CASES = [*unet_cases(), *sd3_cases()]
