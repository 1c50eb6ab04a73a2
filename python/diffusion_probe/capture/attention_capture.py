"""Running a pipeline while a few layers are watched at a few steps."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..manifest import Capture
from .calls import DenoiserCall, counted_calls
from .errors import CaptureError
from .families import Family, family_of, text_layers
from .layers import choose_layers
from .reduction import AttentionCall, pool, token_maps
from .settings import MEANING, capture_settings, differences
from .tap import AttentionTap, run_eagerly

GRID = (16, 16)

log = logging.getLogger("diffusion_probe.capture")


@dataclass(frozen=True)
class CapturedStep:
    """What was seen at one step, of all images of a call; the images of a prompt stand together, as in the pipeline's answer."""

    step: int  # the step-th evaluation of the denoiser, from 1
    timestep: float  # the scheduler's own number there
    maps: Tensor  # float16 [images, layers, tokens, height, width], on the pipeline's device
    token_mask: np.ndarray  # uint8 [images, tokens], 1 = real
    images_per_prompt: int

    @property
    def attention(self) -> np.ndarray:
        """The maps as an array; waits for the device."""
        return self.maps.cpu().numpy()


@dataclass
class CaptureRun:
    """One call of a pipeline. `missing`: why a wanted step holds no maps."""

    settings: Capture
    output: Any = None
    steps: dict[int, CapturedStep] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)


Watcher = Callable[[CapturedStep], None]
Around = Callable[[DenoiserCall, Callable[[DenoiserCall], Any]], Any]


class AttentionCapture:
    """Watches a pipeline of diffusers: `run = AttentionCapture(pipe, steps=[5])("a cat", num_images_per_prompt=8)`.

    The answer of the pipeline, `run.output`, is the one it gives without being watched, bit for bit: queries and keys are only
    looked at, and all steps but `steps` run as if nothing were there. (Where the denoiser is compiled, those few steps run as
    written instead, and the answer is equal up to rounding.)
    """

    def __init__(
        self,
        pipe: Any,
        layers: Sequence[str] | None = None,
        steps: Sequence[int] = (5,),
        grid: tuple[int, int] = GRID,
        expected: Capture | None = None,
    ):
        """`layers`: names or patterns, None for ten over the depth. `expected`: what a probe learnt on; differences are warned of.

        Raises CaptureError for a pipeline or a layer that is not supported.
        """
        self.pipe = pipe
        self.family: Family = family_of(pipe)
        self.layers = choose_layers(pipe, layers)
        self.steps = tuple(sorted(set(steps)))
        self.grid = grid
        self.expected = expected
        self._warned: set[str] = set()

    @classmethod
    def for_probe(cls, pipe: Any, capture: Capture, steps: Sequence[int]) -> AttentionCapture:
        """Capture as a probe's manifest wants it."""
        return cls(pipe, capture.layers, steps, (capture.height, capture.width), expected=capture)

    @property
    def capture_id(self) -> str | None:
        """Of the probe that this capture is for."""
        return None if self.expected is None else self.expected.capture_id

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> CaptureRun:
        """Call the pipeline with these arguments.

        `token_mask`, bool [prompts, text positions], says which positions are tokens of the prompt; it is needed where the prompt
        comes as embeddings. Raises CaptureError where the tokens cannot be told, or a layer's attention not be seen.
        """
        run = self.prepare(args, kwargs, token_mask)
        run.execute()
        return run.result

    def prepare(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        token_mask: np.ndarray | None = None,
        watcher: Watcher | None = None,
        around: Around | None = None,
    ) -> PreparedRun:
        """A run that has not begun.

        `watcher` gets each captured step at once, while the denoiser is still at work; `around` gets every call of the denoiser
        and the function that carries it out.
        """
        signature = inspect.signature(type(self.pipe).__call__)
        bound = signature.bind(self.pipe, *args, **kwargs)
        bound.apply_defaults()
        return PreparedRun(self, args, kwargs, bound.arguments, token_mask, watcher, around)

    def note_differences(self, actual: Capture) -> None:
        """Say once what of a call is not as the probe knows it."""
        if self.expected is None:
            return
        for name, (ours, theirs) in differences(actual, self.expected).items():
            if name in self._warned:
                continue
            self._warned.add(name)
            log.warning("%s is %s here, the probe learnt on %s%s", name, ours, theirs, "" if name in MEANING else "; scores may be off")


class PreparedRun:
    """One call of the pipeline: its arguments, and what is seen of it."""

    def __init__(
        self,
        capture: AttentionCapture,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        call: Mapping[str, Any],
        token_mask: np.ndarray | None,
        watcher: Watcher | None,
        around: Around | None,
    ):
        self.capture = capture
        self.pipe = capture.pipe
        self.args = args
        self.kwargs = kwargs
        self.call = call
        self.tokens = _token_mask(capture, call, token_mask)
        self.watcher = watcher or (lambda step: None)
        self.around = around or (lambda call, carry_out: carry_out(call))
        self.result = CaptureRun(self._settings(int(call["num_inference_steps"])))

    def execute(self) -> Any:
        """Run the pipeline."""
        denoiser = getattr(self.pipe, self.capture.family.denoiser)
        with counted_calls(denoiser, lambda call: self.around(call, self._carry_out)):
            self.result.output = self.pipe(*self.args, **self.kwargs)
        for step in self.capture.steps:
            if step not in self.result.steps:
                self.result.missing.setdefault(step, "the run ended before it")
        return self.result.output

    def _carry_out(self, call: DenoiserCall) -> Any:
        if not call.conditional or call.step not in self.capture.steps:
            return call.run()
        if call.step == self.capture.steps[0]:
            self.result.settings = self._settings(len(self.pipe.scheduler.timesteps))
            self.capture.note_differences(self.result.settings)
        return StepCapture(self, call).carry_out()

    def _settings(self, steps: int) -> Capture:
        return capture_settings(self.pipe, self.call, self.capture.layers, self.capture.grid, steps)


class StepCapture:
    """One watched call of the denoiser."""

    def __init__(self, run: PreparedRun, call: DenoiserCall):
        self.run = run
        self.call = call
        self.family = run.capture.family
        self.denoiser = getattr(run.pipe, self.family.denoiser)
        self.modules = text_layers(run.pipe)
        self.images = self._images()
        self.maps: dict[str, Tensor] = {}
        self.per_prompt = self.images.stop - self.images.start
        if self.per_prompt % len(run.tokens):
            raise CaptureError(f"{self.per_prompt} images do not share {len(run.tokens)} prompts evenly")
        self.per_prompt //= len(run.tokens)
        self.columns = [np.flatnonzero(mask) for mask in run.tokens]

    def carry_out(self) -> Any:
        """Run the denoiser with all layers watched."""
        with ExitStack() as stack:
            stack.enter_context(run_eagerly())
            for name in self.run.capture.layers:
                stack.enter_context(AttentionTap(name, self._sink(name)).on(self.modules[name]))
            output = self.call.run()
        absent = [name for name in self.run.capture.layers if name not in self.maps]
        if absent:
            # A block cache has skipped them.
            self.run.result.missing[self.call.step] = f"the layers {', '.join(absent)} did not run"
        return output

    def _images(self) -> slice:
        """The rows of the images under their prompt: all, or behind as many under the negative one."""
        rows = self.call.arguments[self.family.sample].shape[0]
        if self.family.joined_guidance and self.run.pipe.do_classifier_free_guidance:
            return slice(rows // 2, rows)
        return slice(0, rows)

    def _sink(self, name: str) -> Callable[[AttentionCall], None]:
        def sink(attention: AttentionCall) -> None:
            self.maps[name] = self._reduce(attention)
            if len(self.maps) == len(self.run.capture.layers):
                self._finish()

        return sink

    def _reduce(self, attention: AttentionCall) -> Tensor:
        """Maps of one layer: float16 [images, tokens, *grid]."""
        lengths = (attention.query.shape[2], attention.key.shape[2])
        layout = self.family.layout(self.denoiser, self.call.arguments, lengths)
        grid = self.run.capture.grid
        tokens = max(len(columns) for columns in self.columns)
        maps = attention.query.new_zeros((self.per_prompt * len(self.columns), tokens, *grid), dtype=torch.float16)
        for image in range(len(maps)):
            columns = self.columns[image // self.per_prompt]
            if columns[-1] + layout.text_start >= lengths[1]:
                raise CaptureError(f"the token mask reaches position {columns[-1]}, the text has {lengths[1] - layout.text_start}")
            keys = torch.from_numpy(columns + layout.text_start).to(maps.device)
            row = attention.row(self.images.start + image, layout.image)
            maps[image, : len(columns)] = pool(token_maps(row, keys), layout.size, grid)
        return maps

    def _finish(self) -> None:
        run, step = self.run, self.call.step
        tokens = max(len(columns) for columns in self.columns)
        lengths = np.repeat([len(columns) for columns in self.columns], self.per_prompt)
        captured = CapturedStep(
            step,
            float(run.pipe.scheduler.timesteps[step - 1]),
            torch.stack([self.maps[name] for name in run.capture.layers], dim=1),
            (np.arange(tokens) < lengths[:, None]).astype(np.uint8),
            self.per_prompt,
        )
        run.result.steps[step] = captured
        run.watcher(captured)


def _token_mask(capture: AttentionCapture, call: Mapping[str, Any], given: np.ndarray | None) -> np.ndarray:
    if given is None and call.get("prompt") is None:
        raise CaptureError("the prompt comes as embeddings: pass token_mask, bool [prompts, text positions]")
    mask = capture.family.tokens(capture.pipe, call) if given is None else np.asarray(given, bool)
    if mask.ndim != 2 or not mask.any(axis=1).all():
        raise CaptureError(f"token_mask has the shape {mask.shape}: expected [prompts, text positions], a token per prompt at least")
    return mask
