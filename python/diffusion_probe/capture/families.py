"""The supported backbone families: which attention modules see text, which queries are the image and which keys are the text.

A family is a row of `TABLE`. To add one: a row here, and cases in tests/capture/family_cases.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from .errors import CaptureError
from .layout import Arguments, Layout, cross_layout, image_size, joint_layout
from .tokens import Call, Segment

DEFAULT_LAYERS = 10

# Where the text stands among the keys of an attention call.
ALL, FIRST, LAST = "all keys", "before the image", "after the image"
# How classifier-free guidance evaluates the denoiser without the prompt: more rows of the same call, or a call after the other.
ROWS_BEFORE, ROWS_AFTER, CALLS = "rows before", "rows after", "a call of its own"


@dataclass(frozen=True)
class Family:
    """What capture needs to know about one kind of backbone."""

    name: str
    pipelines: tuple[str, ...]  # classes of diffusers
    layers: str  # a regular expression: full names of attention modules in which image positions attend to text
    text: str  # ALL, FIRST or LAST
    tokens: tuple[Segment, ...]
    guidance: str  # ROWS_BEFORE, ROWS_AFTER or CALLS
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

    def layout(self, denoiser: Any, arguments: Arguments, lengths: tuple[int, int], row: int = 0) -> Layout:
        """Where image and text are in one row of an attention call with these numbers of queries and keys."""
        size = self.image_size(denoiser, arguments)
        if self.text == ALL:
            return cross_layout(size, lengths[0], len(denoiser.config.get("block_out_channels", "1")))
        if self.text == LAST:
            return joint_layout(size, 0, self.image_end(denoiser, *size), lengths)
        text = arguments["encoder_hidden_states"].shape[1]
        if self.text_mask is not None:
            text = int(arguments[self.text_mask][row].sum())
        return joint_layout(size, self.learned + text, self.learned, lengths)

    def passed_timestep(self, timestep: Tensor) -> Tensor:
        """The scheduler's timestep as the denoiser gets it."""
        scaled = timestep / self.timestep_scale
        return 1 - scaled if self.timestep_reversed else scaled


_FROM_IMAGE = ("Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint")
_PAG = ("PAG", "PAGImg2Img", "PAGInpaint", "ControlNetPAG")


def _pipelines(base: str, *kinds: str) -> tuple[str, ...]:
    """The class that draws from text alone, and others of the same backbone."""
    return tuple(f"{base}{kind}Pipeline" for kind in ("", *kinds))


def _model_length(pipe: Any, call: Call, tokenizer: Any) -> int:
    return tokenizer.model_max_length


def _qwen_length(pipe: Any, call: Call, tokenizer: Any) -> int:
    return pipe.tokenizer_max_length + pipe.prompt_template_encode_start_idx


_CLIP = Segment(("tokenizer", "tokenizer_2"), ("prompt", "prompt_2"), _model_length)
_QWEN = Segment(
    ("tokenizer",),
    length=_qwen_length,
    template=lambda pipe, call, prompt: pipe.prompt_template_encode.format(prompt),
    dropped=lambda pipe, call: pipe.prompt_template_encode_start_idx,
    packed=True,
)

TABLE = (
    Family(
        name="unet",
        pipelines=(
            *_pipelines("StableDiffusion", *_FROM_IMAGE, *_PAG, "ControlNetPAGInpaint"),
            *_pipelines("StableDiffusionXL", *_FROM_IMAGE, *_PAG, "ControlNetPAGImg2Img"),
        ),
        layers=r"(down_blocks|mid_block|up_blocks)\..*\.attn2",
        text=ALL,
        tokens=(_CLIP,),
        guidance=ROWS_BEFORE,
        denoiser="unet",
        sample="sample",
        patch=1,
    ),
    Family(
        name="sd3",
        pipelines=_pipelines("StableDiffusion3", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpainting", "PAG", "PAGImg2Img"),
        layers=r"transformer_blocks\.\d+\.attn",  # `attn2` of SD3.5 medium is self-attention of the image
        text=LAST,
        tokens=(_CLIP, Segment(("tokenizer_3",), ("prompt_3",), optional=True)),
        guidance=ROWS_BEFORE,
    ),
    Family(
        name="flux",
        pipelines=_pipelines("Flux", *_FROM_IMAGE, "Control", "ControlImg2Img", "ControlInpaint", "Fill", "Kontext"),
        layers=r"(single_)?transformer_blocks\.\d+\.attn",
        text=FIRST,
        tokens=(Segment(("tokenizer_2",), ("prompt_2",)),),
        guidance=CALLS,
        scale="true_cfg_scale",
        size="img_ids",
        patch=2,
        timestep_scale=1000,
    ),
    Family(
        name="qwen-image",
        pipelines=_pipelines("QwenImage", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpaint"),
        layers=r"transformer_blocks\.\d+\.attn",
        text=FIRST,
        tokens=(_QWEN,),
        guidance=CALLS,
        scale="true_cfg_scale",
        size="img_shapes",
        patch=2,
        timestep_scale=1000,
    ),
)

FAMILIES: Mapping[str, Family] = {pipeline: family for family in TABLE for pipeline in family.pipelines}


def family_of(pipe: Any) -> Family:
    """The family of a pipeline or of its base class. Raises CaptureError for a pipeline that is not supported."""
    for kind in type(pipe).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(
        f"{type(pipe).__name__} is not supported: use one of {', '.join(FAMILIES)}, or run this pipeline without guard; "
        "to add its backbone, see capture/families.py"
    )


def is_guided(pipe: Any, family: Family, call: Call) -> bool:
    """Whether a run evaluates the denoiser without the prompt too."""
    scale = call.get(family.scale)
    if family.scale == "true_cfg_scale":
        negative = call.get("negative_prompt") is not None or call.get("negative_prompt_embeds") is not None
        return negative and scale is not None and scale > 1
    by_pipeline = getattr(pipe, "do_classifier_free_guidance", None)
    return scale is not None and scale > 1 if by_pipeline is None else bool(by_pipeline)


def unwrapped(denoiser: nn.Module) -> nn.Module:
    """The denoiser inside of the wrappers of `torch.compile` and `peft.get_peft_model`."""
    while True:
        if hasattr(denoiser, "_orig_mod"):
            denoiser = denoiser._orig_mod
        elif hasattr(denoiser, "get_base_model"):
            denoiser = denoiser.get_base_model()
        else:
            return denoiser


def text_layers(pipe: Any) -> dict[str, nn.Module]:
    """The attention modules of a pipeline's denoiser in which image positions attend to text, by full name, in order."""
    family = family_of(pipe)
    denoiser = unwrapped(getattr(pipe, family.denoiser))
    names = ((name.replace("_orig_mod.", ""), module) for name, module in denoiser.named_modules())
    return {name: module for name, module in names if re.fullmatch(family.layers, name)}


def choose_layers(pipe: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Full names of attention modules, in the backbone's order.

    `layers`: names, or patterns with `*`; None: ten, spread evenly over the depth. Raises CaptureError for one that matches none.
    """
    present = list(text_layers(pipe))
    if layers is None:
        count = min(DEFAULT_LAYERS, len(present))
        return tuple(present[(2 * index + 1) * len(present) // (2 * count)] for index in range(count))
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise CaptureError(f"there is no layer {pattern!r}: expected some of {', '.join(present)}")
    return tuple(name for name in present if any(fnmatchcase(name, pattern) for pattern in layers))
