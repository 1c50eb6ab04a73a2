"""What a case of tests/capture/test_families.py is, and what cases share."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from torch import Tensor

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
    text: Sequence[Sequence[int | None]]  # for each prompt, or each image, the keys that are its tokens; None: no key
    size: Callable[[str], tuple[int, int]]  # of a layer: height and width of the image
    image_start: Sequence[int] = (0, 0)  # for each prompt, or each image, the first query that is an image position
    part: int = 0  # which of the parts of the batch sees the prompt
    calls: int = 1  # of the denoiser for one step
    guidance: dict[str, float | None] = field(default_factory=dict)  # of the conditions
    prompts: Sequence[str] = tuple(PROMPTS)
    label: str = ""
    patches: dict[str, Any] = field(default_factory=dict)  # values of names in modules

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


def picture(channels: int = 3, width: int = WIDTH) -> Tensor:
    """A random picture, or with one channel a mask."""
    drawn = torch.rand(1, channels, HEIGHT, width, generator=torch.Generator().manual_seed(5))
    return drawn.round() if channels == 1 else drawn


SIZE = {"height": HEIGHT, "width": WIDTH}
GUIDED = {"classifier_free": 5.0, "embedded": None}
FLOW = {"num_inference_steps": 4, "guidance_scale": 5.0, "max_sequence_length": T5}
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


def made_from(base: Callable[[], Any], name: str, kind: Any = None, **changes: Callable[[Any], Any]) -> Callable[[], Any]:
    """A builder of another class with the components of `base`. `changes` make further components from the base."""
    kind = kind or getattr(diffusers, name)

    def make() -> Any:
        pipe = base()
        wanted = inspect.signature(kind.__init__).parameters
        parts = {part: value for part, value in pipe.components.items() if part in wanted}
        parts |= {part: change(pipe) for part, change in changes.items() if part in wanted}
        if "requires_safety_checker" in wanted:
            parts["requires_safety_checker"] = False
        made = kind(**parts)
        if hasattr(pipe, "prompt_template_encode_start_idx"):
            made.prompt_template_encode_start_idx = pipe.prompt_template_encode_start_idx
        return made

    return make


def changed(component: str, **config: Any) -> Callable[[Any], Any]:
    """Makes a component of another configuration."""

    def make(pipe: Any) -> Any:
        part = pipe.components[component]
        # A value that was a default would be ignored.
        return type(part).from_config({**part.config, "_use_default_values": [], **config}).eval()

    return make


def filled(module: Any) -> Any:
    """A ControlNet whose output is not zero."""
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return module.eval()


def words(*starts: int) -> list[list[int]]:
    """The text positions of each prompt, where every tokenizer's begin at one of `starts`."""
    return [[start + word for start in starts for word in range(count)] for count in WORDS]


ONE_WORD_LESS = [list(range(5)), list(range(2))]  # without an end of text


def shifted(positions: list[list[int]], start: int) -> list[list[int]]:
    """Positions that begin elsewhere."""
    return [[start + position for position in own] for own in positions]


def patches(layer: str) -> tuple[int, int]:
    """Height and width of the image, 2 x 2 latents to a position."""
    return 8, 12
