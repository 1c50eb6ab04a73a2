"""Running a pipeline while a few layers are watched at a few steps."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..probe.manifest import Capture
from .calls import DenoiserCall, counted_calls
from .errors import CaptureError
from .families import Family, family_of
from .layers import choose_layers
from .settings import MEANING, capture_settings, differences
from .step_capture import CapturedStep, StepCapture

GRID = (16, 16)

log = logging.getLogger("diffusion_probe.capture")


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
        """`layers`: names or patterns, None for ten over the depth. `expected`: what a probe learnt on, to warn of differences.

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
        """Capture as a probe's manifest wants it. Raises CaptureError where its maps are of another kind than these."""
        for name, ours in MEANING.items():
            theirs = getattr(capture, name)
            if theirs != ours:
                raise CaptureError(f"the probe's {name} are {theirs!r}: expected {ours!r}")
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
        watcher: Watcher = lambda step: None,
        around: Around = lambda call, carry_out: carry_out(call),
        forgiving: bool = False,
    ) -> PreparedRun:
        """A run that has not begun.

        `watcher` gets each captured step at once, while the denoiser is still at work; `around` gets every call of the denoiser
        and the function that carries it out. `forgiving`: what goes wrong with the capture of a step is noted in `missing`, and
        the run goes on.
        """
        bound = inspect.signature(type(self.pipe).__call__).bind(self.pipe, *args, **kwargs)
        bound.apply_defaults()
        tokens = _token_mask(self, bound.arguments, token_mask)
        generate = functools.partial(self.pipe, *args, **kwargs)
        return PreparedRun(self, generate, bound.arguments, tokens, watcher, around, forgiving)

    def note_differences(self, actual: Capture) -> None:
        """Say once what of a call is not as the probe knows it."""
        if self.expected is None:
            return
        for name, (ours, theirs) in differences(actual, self.expected).items():
            if name not in self._warned:
                self._warned.add(name)
                log.warning("%s is %s here, the probe learnt on %s: its scores may be off", name, ours, theirs)


class PreparedRun:
    """One call of the pipeline: what is asked of it, and what has been seen of it."""

    def __init__(
        self,
        capture: AttentionCapture,
        generate: Callable[[], Any],
        arguments: Mapping[str, Any],
        tokens: np.ndarray,
        watcher: Watcher,
        around: Around,
        forgiving: bool,
    ):
        self.capture = capture
        self.arguments = arguments
        self.tokens = tokens  # bool [prompts, text positions]
        self.result = CaptureRun(self._settings(int(arguments["num_inference_steps"])))
        self._generate = generate
        self._watcher = watcher
        self._around = around
        self._forgiving = forgiving

    def execute(self) -> None:
        """Run the pipeline."""
        denoiser = getattr(self.capture.pipe, self.capture.family.denoiser)
        with counted_calls(denoiser, lambda call: self._around(call, self._carry_out)):
            self.result.output = self._generate()
        for step in self.capture.steps:
            if step not in self.result.steps:
                self.result.missing.setdefault(step, "the run ended before it")

    def _carry_out(self, call: DenoiserCall) -> Any:
        capture = self.capture
        if not call.conditional or call.step not in capture.steps:
            return call.run()
        try:
            watched = self._watch(call)
        except Exception as error:
            if not self._forgiving:
                raise
            self.result.missing[call.step] = str(error)
            return call.run()
        output = watched.carry_out()
        if watched.absent():
            self.result.missing.setdefault(call.step, f"the layers {', '.join(watched.absent())} did not run")
        return output

    def _watch(self, call: DenoiserCall) -> StepCapture:
        capture = self.capture
        self.result.settings = self._settings(len(capture.pipe.scheduler.timesteps))
        capture.note_differences(self.result.settings)

        def note(error: Exception) -> None:
            self.result.missing.setdefault(call.step, str(error))

        on_error = note if self._forgiving else None
        return StepCapture(capture.pipe, call, capture.layers, capture.grid, self.tokens, self._deliver, on_error)

    def _deliver(self, step: CapturedStep) -> None:
        self.result.steps[step.step] = step
        self._watcher(step)

    def _settings(self, steps: int) -> Capture:
        return capture_settings(self.capture.pipe, self.arguments, self.capture.layers, self.capture.grid, steps)


def _token_mask(capture: AttentionCapture, call: Mapping[str, Any], given: np.ndarray | None) -> np.ndarray:
    if given is None:
        given = call.get("prompt_embeds_mask")  # Qwen-Image's own, of what its template left
    if given is None and call.get("prompt") is None:
        raise CaptureError("the prompt comes as embeddings: pass token_mask, bool [prompts, text positions]")
    mask = capture.family.tokens(capture.pipe, call) if given is None else np.asarray(given, bool)
    if mask.ndim != 2 or not mask.any(axis=1).all():
        raise CaptureError(f"token_mask is {list(mask.shape)}: expected [prompts, text positions] with a token in every prompt")
    return mask
