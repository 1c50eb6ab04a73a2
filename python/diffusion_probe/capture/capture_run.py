"""One run of a pipeline of diffusers, and the attention that is read in some calls of its denoiser."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..conditions.differences import Conditions
from ..conditions.pipeline import conditions_of
from ..families.errors import CaptureError
from ..families.family import CALLS, ROWS_BEFORE
from ..families.layout import Arguments, Layout, Lengths
from ..families.lookup import family_of, is_guided, text_layers, unwrapped
from ..families.tokens import token_mask_of
from .attention_hook import OnAttention, read_layers
from .denoiser_calls import DenoiserCall, StepCounter
from .patched_attribute import intercepted_calls
from .reduction import AttentionCall, PromptRow
from .step_maps import StepMaps

if TYPE_CHECKING:
    from .attention_capture import AttentionCapture


@dataclass(frozen=True)
class CapturedStep:
    """The attention of one step, for all images of the call. Images of one prompt are adjacent, as in the pipeline's output."""

    step: int  # counts the denoiser's evaluations from 1
    timestep: float  # the scheduler's own number at this step
    maps: Tensor  # float16 [images, layers, tokens, height, width], probabilities in [0, 1], on the pipeline's device
    token_mask: np.ndarray  # uint8 [images, tokens], 1 = real
    images: tuple[int, ...]  # the index of each in the pipeline's output
    prompts: tuple[int, ...]  # the index of each image's prompt
    total_steps: int  # evaluations of the denoiser in the whole run

    @property
    def attention(self) -> np.ndarray:
        """The maps as a NumPy array. Waits for the device."""
        return self.maps.cpu().numpy()


class CaptureRun:
    """One call of a pipeline with capture, and its result."""

    def __init__(
        self,
        capture: AttentionCapture,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        token_mask: np.ndarray | None = None,
        fail_open: bool = False,
    ):
        """`args`, `kwargs`: of the pipeline. `token_mask`: as in AttentionCapture. Raises CaptureError if the tokens are unknown.

        `fail_open`: an error of the capture does not end the run but is noted in `missing`.
        """
        self.settings = capture.settings  # what is read
        self.conditions: Conditions | None = None  # how the images are drawn; known from the first captured step on
        self.output: Any = None  # what the pipeline returned
        self.steps: dict[int, CapturedStep] = {}
        self.missing: dict[int, str] = {}  # wanted step -> why it was not captured
        self.total_images = 0  # known from the first captured step on
        pipe = self._pipe = capture.pipe
        self._wanted, self._reduce, self._fail_open = capture.steps, capture.reduce, fail_open
        self._family = family_of(pipe)
        self._denoiser = getattr(pipe, self._family.denoiser)
        self._generate = functools.partial(pipe, *args, **kwargs)
        bound = inspect.signature(type(pipe).__call__).bind(pipe, *args, **kwargs)
        bound.apply_defaults()
        self._arguments: Arguments = bound.arguments
        mask = token_mask_of(pipe, bound.arguments, self._family.tokens, token_mask)
        self._text_length = mask.shape[1]
        self._positions = [np.flatnonzero(own) for own in mask]  # the text positions of each prompt's tokens
        self._counter = StepCounter(self._family, pipe.scheduler, self._wanted[-1])
        self._parameters = tuple(inspect.signature(unwrapped(self._denoiser).forward).parameters)

    def execute(self) -> None:
        """Run the pipeline."""
        with intercepted_calls(self._denoiser, self._on_call):
            self.output = self._generate()
        for step in self._wanted:
            if step not in self.steps:
                self.missing.setdefault(step, "the run ended before this step")

    def evaluate(self, call: DenoiserCall) -> Any:
        """Evaluate a call of the denoiser, and read its attention if it is a step to capture."""
        if call.step is None:
            return call.evaluate()
        try:
            maps, on_attention = self._reader(call)
            modules = text_layers(self._pipe)
        except Exception as error:
            self._fail(call.step, error)
            return call.evaluate()
        layers = {name: modules[name] for name in self.settings.layers}
        with read_layers(layers, on_attention, functools.partial(self._fail, call.step)):
            output = call.evaluate()
        if maps.missing:
            self.missing.setdefault(call.step, f"the layers {', '.join(maps.missing)} did not run")
        return output

    def on_step(self, captured: CapturedStep) -> None:
        """Receives each captured step when its last layer has run, while the denoiser is still running."""

    def _on_call(self, denoiser: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        arguments = {**dict(zip(self._parameters, args, strict=False)), **kwargs}
        is_captured = self._counter.begins_step(arguments) and self._counter.step in self._wanted
        return self.evaluate(DenoiserCall(denoiser, arguments, len(args), self._counter.step if is_captured else None))

    def _fail(self, step: int, error: Exception) -> None:
        if not self._fail_open:
            raise error
        self.missing.setdefault(step, str(error))

    def _reader(self, call: DenoiserCall) -> tuple[StepMaps, OnAttention]:
        """The maps of a step, empty, and what fills them and passes the step on."""
        if self.conditions is None:  # the timesteps are known once the run has begun
            self.conditions = self._conditions(call.arguments)
        seeing = self._rows_with_prompt(call)
        self.total_images = self.total_images or len(seeing)
        images = call.images or tuple(range(len(seeing)))
        prompts = self._prompts_of(images)
        lengths = np.array([len(self._positions[prompt]) for prompt in prompts])
        longest = max(map(len, self._positions))
        layout_of = functools.cache(functools.partial(self._family.layout, self._denoiser, call.arguments))

        def find_rows(attention: AttentionCall) -> list[PromptRow]:
            rows = zip(seeing, prompts, strict=True)
            return [self._prompt_row(layout_of, attention.lengths, row, prompt) for row, prompt in rows]

        grid = self.settings.height, self.settings.width
        maps = StepMaps(self.settings.layers, grid, longest, find_rows, reduce=self._reduce)

        def on_attention(layer: str, attention: AttentionCall) -> None:
            maps.add(layer, attention)
            if maps.missing:
                return
            timestep, mask = float(self._counter.timesteps[call.step - 1]), np.arange(longest) < lengths[:, None]
            total_steps = len(self._counter.timesteps)
            captured = CapturedStep(call.step, timestep, maps.joined(), mask.astype(np.uint8), images, prompts, total_steps)
            self.steps[call.step] = captured
            self.on_step(captured)

        return maps, on_attention

    def _conditions(self, denoised: Arguments) -> Conditions:
        family, denoiser = self._family, unwrapped(self._denoiser)
        size = family.pixels(denoiser, denoised, self._pipe.vae_scale_factor)
        guidance = self._arguments[family.scale] if is_guided(self._pipe, family, self._arguments) else None
        return conditions_of(self._pipe, denoiser, self._arguments, size, guidance, self._counter.timesteps)

    def _rows_with_prompt(self, call: DenoiserCall) -> range:
        """Guidance adds as many rows that do not see the prompt; perturbed attention adds further ones at the end."""
        rows = len(call.arguments[self._family.sample])
        is_joined = self._family.guidance != CALLS and is_guided(self._pipe, self._family, self._arguments)
        parts = 1 + is_joined + getattr(self._pipe, "do_perturbed_attention_guidance", False)
        images = len(self._positions) * (self._arguments.get("num_images_per_prompt") or 1)
        if rows == (len(call.images) if call.images else images):
            parts = 1  # guidance that ends before the last step
        count = rows // parts
        start = count if parts > 1 and is_joined and self._family.guidance == ROWS_BEFORE else 0
        return range(start, start + count)

    def _prompts_of(self, images: Sequence[int]) -> tuple[int, ...]:
        prompts = len(self._positions)
        if self.total_images % prompts:
            raise CaptureError(f"{self.total_images} images for {prompts} prompts: expected as many for each prompt")
        return tuple(image * prompts // self.total_images for image in images)

    def _prompt_row(self, layout_of: Callable[..., Layout], lengths: Lengths, row: int, prompt: int) -> PromptRow:
        family, positions = self._family, self._positions[prompt]
        layout = layout_of(lengths, row if family.text_mask else 0)
        if family.text_ends:
            layout = replace(layout, text=slice(layout.text.stop - self._text_length, layout.text.stop))
        if family.text_mask is not None:  # each row has its own length of text: positions behind its end are no keys
            positions = positions[positions < layout.text.stop - layout.text.start]
        return PromptRow(row, layout, layout.keys(positions))
