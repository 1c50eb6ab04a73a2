"""What capture knows about one kind of backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .layout import Arguments, Layout, cross_layout, image_size, joint_layout
from .tokens import Segment

# Where the text stands among the keys of an attention call.
ALL, FIRST, LAST = "all keys", "before the image", "after the image"
# How classifier-free guidance evaluates the denoiser without the prompt.
ROWS_BEFORE, ROWS_AFTER, CALLS, NONE = "rows before", "rows after", "a second call", "none"


@dataclass(frozen=True)
class Family:
    """What capture needs to know about one kind of backbone."""

    name: str
    pipelines: tuple[str, ...]  # classes of diffusers
    layers: str  # a regular expression: full names of attention modules in which image positions attend to text
    text: str  # ALL, FIRST or LAST
    tokens: tuple[Segment, ...]
    guidance: str  # ROWS_BEFORE, ROWS_AFTER, CALLS or NONE
    scale: str = "guidance_scale"  # the argument of classifier-free guidance
    denoiser: str = "transformer"  # the pipeline's attribute
    sample: str = "hidden_states"  # the denoiser's argument that holds the latents
    size: str = ""  # the denoiser's argument that gives the image's height and width; by default the latents
    patch: int | None = None  # latents per image position and side; None: the denoiser's setting
    learned: int = 0  # learned tokens before the text
    text_mask: str | None = None  # the denoiser's argument by which the text of each row is packed before its image
    image_end: Callable[[Any, int, int], int] = lambda denoiser, height, width: height * width  # with padding
    text_ends: bool = False  # a picture's tokens stand before the prompt's, so these are counted from the end of the text
    timestep: str = "timestep"  # the denoiser's argument
    timestep_scale: int = 1  # the denoiser gets the scheduler's timestep divided by this
    timestep_reversed: bool = False  # and subtracted from 1

    def image_size(self, denoiser: Any, arguments: Arguments) -> tuple[int, int]:
        """Height and width in image positions."""
        return image_size(arguments, self.size or self.sample, self.patch or denoiser.config.patch_size)

    def pixels(self, denoiser: Any, arguments: Arguments, scale: int) -> tuple[int, int]:
        """Height and width in pixels, of which one side of a latent has `scale`."""
        height, width = self.image_size(denoiser, arguments)
        patch = (self.patch or denoiser.config.patch_size) * scale
        return height * patch, width * patch

    def layout(self, denoiser: Any, arguments: Arguments, lengths: tuple[int, int], row: int = 0) -> Layout:
        """Where image and text are in one row of an attention call with these numbers of queries and keys."""
        size = self.image_size(denoiser, arguments)
        if self.text == ALL:
            return cross_layout(size, lengths, len(denoiser.config.get("block_out_channels", "1")))
        if self.text == LAST:
            return joint_layout(size, 0, slice(self.image_end(denoiser, *size), lengths[1]), lengths)
        text = arguments["encoder_hidden_states"].shape[1]
        if self.text_mask is not None:
            text = int(arguments[self.text_mask][row].sum())
        return joint_layout(size, self.learned + text, slice(self.learned, self.learned + text), lengths)

    def passed_timestep(self, timestep: Tensor) -> Tensor:
        """The scheduler's timestep as the denoiser gets it."""
        scaled = timestep / self.timestep_scale
        return 1 - scaled if self.timestep_reversed else scaled
