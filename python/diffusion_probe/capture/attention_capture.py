"""Runs a diffusers pipeline and captures the attention of some layers at some steps."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..probe.conditions import Conditions, differences
from ..probe.manifest import Capture
from .conditions import conditions_of
from .denoiser_calls import DenoiserCall, Handler, intercepted_calls
from .errors import CaptureError
from .families import choose_layers, family_of
from .family import Family
from .reduction import REDUCTIONS, require_supported
from .step_capture import CapturedStep, StepCapture
from .tokens import prompt_tokens

GRID = (16, 16)

log = logging.getLogger("diffusion_probe.capture")


@dataclass
class CaptureRun:
    """The result of one call of a pipeline with capture."""

    settings: Capture  # what is read
    conditions: Conditions | None = None  # how the images are drawn; known from the first captured step on
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # path -> (of this run, of the probe)
    output: Any = None  # what the pipeline returned
    steps: dict[int, CapturedStep] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)  # wanted step -> why it was not captured


class AttentionCapture:
    """Captures attention from a pipeline: `run = AttentionCapture(pipe, steps=[5])("a cat", num_images_per_prompt=8)`.

    `run.output` equals the pipeline's own output bit for bit: queries and keys are only read, and steps other than `steps` run
    unchanged. A compiled denoiser runs the captured steps uncompiled, so its output is equal up to rounding.
    """

    def __init__(
        self,
        pipe: Any,
        layers: Sequence[str] | None = None,
        steps: Sequence[int] = (5,),
        grid: tuple[int, int] = GRID,
        expected: Capture | None = None,
        expected_conditions: Conditions | None = None,
    ):
        """`layers`: full names or patterns; None: ten, spread evenly over the depth. `steps`: counted from 1.

        `grid`: height and width of the maps. `expected` and `expected_conditions`: a probe's; a run that differs from them logs a
        warning. Raises CaptureError for a pipeline or layer that is not supported.
        """
        self.pipe = pipe
        self.family: Family = family_of(pipe)
        self.layers = choose_layers(pipe, layers)
        self.steps = tuple(sorted(set(steps)))
        self.grid = grid
        self.settings = Capture(self.family.name, self.layers, *grid, **REDUCTIONS)
        self.expected = expected
        self.expected_conditions = expected_conditions
        self._warned: set[str] = set()

    @classmethod
    def for_probe(
        cls, pipe: Any, capture: Capture, steps: Sequence[int], conditions: Conditions | None = None
    ) -> AttentionCapture:
        """Capture as a probe's manifest says. Raises CaptureError if its maps are reduced in an unsupported way."""
        require_supported(asdict(capture))
        return cls(pipe, capture.layers, steps, (capture.height, capture.width), capture, conditions)

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> CaptureRun:
        """Call the pipeline with these arguments.

        `token_mask`: bool [prompts, text positions], True for tokens of the prompt; required when the prompt is given as
        embeddings. Raises CaptureError if the tokens are unknown or a layer's attention cannot be read.
        """
        run = self.prepare(args, kwargs, token_mask)
        run.execute()
        return run.result

    def prepare(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        token_mask: np.ndarray | None = None,
        on_step: Callable[[CapturedStep], None] = lambda step: None,
        intercept: Callable[[DenoiserCall, Handler], Any] = lambda call, evaluate: evaluate(call),
        fail_open: bool = False,
    ) -> PipelineRun:
        """A run that has not started.

        `on_step` receives each captured step while the denoiser is still running. `intercept` receives every denoiser call and
        the function that evaluates it, and returns the call's output. `fail_open`: an error of the capture does not end the run
        but is noted in `missing`.
        """
        bound = inspect.signature(type(self.pipe).__call__).bind(self.pipe, *args, **kwargs)
        bound.apply_defaults()
        tokens = _token_mask(self, bound.arguments, token_mask)
        generate = functools.partial(self.pipe, *args, **kwargs)
        return PipelineRun(self, generate, bound.arguments, tokens, on_step, intercept, fail_open)

    def differences(self, conditions: Conditions) -> dict[str, tuple[Any, Any]]:
        """How a run differs from the expected settings and conditions. Logs each difference once."""
        found: dict[str, tuple[Any, Any]] = {}
        if self.expected is not None:
            found |= differences(asdict(self.settings), asdict(self.expected))
        if self.expected_conditions is not None:
            stated = {name: value for name, value in conditions.items() if name in self.expected_conditions}
            found |= differences(stated, self.expected_conditions)
        for path, (value, wanted) in found.items():
            if path not in self._warned:
                self._warned.add(path)
                log.warning("%s is %s, but the probe was calibrated for %s: its scores may be wrong", path, value, wanted)
        return found


@dataclass
class PipelineRun:
    """One call of the pipeline with capture."""

    capture: AttentionCapture
    generate: Callable[[], Any]
    arguments: Mapping[str, Any]  # of the pipeline, by name
    tokens: np.ndarray  # bool [prompts, text positions]
    on_step: Callable[[CapturedStep], None]
    intercept: Callable[[DenoiserCall, Handler], Any]
    fail_open: bool

    def __post_init__(self) -> None:
        self.result = CaptureRun(self.capture.settings)
        self._first = 0  # the index of the first step among the scheduler's timesteps: a run from an image skips some

    def execute(self) -> None:
        """Run the pipeline."""
        family = self.capture.family
        denoiser = getattr(self.capture.pipe, family.denoiser)
        with intercepted_calls(denoiser, family.sample, lambda call: self.intercept(call, self._evaluate), self._is_step):
            self.result.output = self.generate()
        for step in self.capture.steps:
            if step not in self.result.steps:
                self.result.missing.setdefault(step, "the run ended before this step")

    def _evaluate(self, call: DenoiserCall) -> Any:
        if not call.conditional or call.step not in self.capture.steps:
            return call.evaluate()
        try:
            step = self._step_capture(call)
        except Exception as error:
            if not self.fail_open:
                raise
            self.result.missing[call.step] = str(error)
            return call.evaluate()
        output = step.evaluate()
        if step.missing_layers():
            self.result.missing.setdefault(call.step, f"the layers {', '.join(step.missing_layers())} did not run")
        return output

    def _is_step(self, step: int, arguments: Mapping[str, Any]) -> bool:
        """Whether a call can be this step. A callback that evaluates the latents again has the timestep of the step before."""
        family = self.capture.family
        if arguments.get(family.timestep) is None:
            return True
        given = torch.as_tensor(arguments[family.timestep]).flatten()[0]
        if step == 1:
            self._first = self._first_index(given)
        timesteps = self._timesteps()
        # Reading the timestep waits for the device, so only the steps up to the last one to capture are counted exactly.
        if step > min(len(timesteps), self.capture.steps[-1]):
            return True
        # As the pipeline passes them: 16 bits cannot hold all of them apart.
        own, last = (family.passed_timestep(timesteps[max(index, 0)].to(given)) for index in (step - 1, step - 2))
        return bool((given - own).abs() <= (given - last).abs())

    def _first_index(self, given: Tensor) -> int:
        scheduler = self.capture.pipe.scheduler
        begin = getattr(scheduler, "begin_index", None)
        if begin is not None:
            return begin
        return int((self.capture.family.passed_timestep(scheduler.timesteps.to(given)) - given).abs().argmin())

    def _timesteps(self) -> Tensor:
        """The scheduler's timesteps at the steps of this run."""
        return self.capture.pipe.scheduler.timesteps[self._first :]

    def _step_capture(self, call: DenoiserCall) -> StepCapture:
        capture = self.capture
        if self.result.conditions is None:  # the timesteps are known once the run has begun
            self.result.conditions = conditions_of(capture.pipe, self.arguments, call.arguments, self._timesteps())
            self.result.differences = capture.differences(self.result.conditions)

        def on_error(error: Exception) -> None:
            self.result.missing.setdefault(call.step, str(error))

        return StepCapture(
            capture.pipe,
            self.arguments,
            self._timesteps(),
            call,
            capture.layers,
            capture.grid,
            self.tokens,
            self._on_step,
            on_error if self.fail_open else None,
        )

    def _on_step(self, step: CapturedStep) -> None:
        self.result.steps[step.step] = step
        self.on_step(step)


def _token_mask(capture: AttentionCapture, arguments: Mapping[str, Any], given: np.ndarray | None) -> np.ndarray:
    if given is None:
        given = arguments.get("prompt_embeds_mask")  # Qwen-Image's own mask, without its template's head
    if given is None and arguments.get("prompt") is None:
        raise CaptureError("the prompt is given as embeddings: pass token_mask, bool [prompts, text positions]")
    mask = prompt_tokens(capture.pipe, arguments, capture.family.tokens) if given is None else np.asarray(given, bool)
    if mask.ndim != 2 or not mask.any(axis=1).all():
        raise CaptureError(f"token_mask is {list(mask.shape)}: expected [prompts, text positions] with a token in every prompt")
    return mask
