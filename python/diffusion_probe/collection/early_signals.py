"""What a run of a pipeline says early beside its attention: the image that it predicts, and the difference that guidance makes.

Both are read where the pipeline hands its guided prediction to the scheduler.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from ..capture.patched_attribute import intercepted_calls, patched_attribute
from ..families.lookup import family_of

FLOW_MATCHING = "FlowMatchEuler"  # schedulers whose prediction is a velocity, and which do not return the predicted image


class EarlySignals:
    """Records what each of some steps predicts while a pipeline runs; works with one step of the scheduler per denoiser step."""

    def __init__(self, pipe: Any, steps: Collection[int]):
        """`steps`: counted from 1. Raises CaptureError for a pipeline that is not supported."""
        self._pipe = pipe
        self._steps = frozenset(steps)
        self._family = family_of(pipe)
        self._denoiser = getattr(pipe, self._family.denoiser)
        self._outputs: list[Tensor] = []  # of the denoiser since the scheduler's last step
        self._done = 0  # steps of the scheduler
        self._predicted: dict[int, Tensor] = {}  # by step: latents of the predicted images
        self.guidance_difference: dict[int, np.ndarray] = {}  # by step: float32 [images]; empty without guidance

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Inside the block one run of the pipeline is recorded. It draws what it would draw otherwise."""
        self._done, self._predicted, self.guidance_difference = 0, {}, {}
        scheduler = self._pipe.scheduler
        with (
            intercepted_calls(self._denoiser, self._on_denoiser),
            patched_attribute(scheduler, "step", self._wrapped(scheduler, scheduler.step)),
        ):
            yield

    def previews(self, step: int, arguments: Mapping[str, Any]) -> list[Image]:
        """The images that the recorded run predicted at a step, decoded by the pipeline itself.

        `arguments`: those of the recorded run. The pipeline is run with them once more, but its denoiser is not evaluated, and
        its scheduler returns the predicted latents.
        """
        predicted, scheduler = self._predicted[step], self._pipe.scheduler

        def same_latents(_: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Tensor]:
            return (kwargs[self._family.sample] if self._family.sample in kwargs else args[0],)

        @functools.wraps(scheduler.step)  # pipelines read its parameters
        def no_step(*args: Any, **kwargs: Any) -> tuple[Tensor]:
            return (predicted,)

        with intercepted_calls(self._denoiser, same_latents), patched_attribute(scheduler, "step", no_step):
            return self._pipe(**arguments).images

    def _on_denoiser(self, denoiser: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = denoiser(*args, **kwargs)
        if self._done + 1 in self._steps:
            self._outputs.append(output[0])
        return output

    def _wrapped(self, scheduler: Any, own_step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own_step)
        def step(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            self._done += 1
            if self._done not in self._steps:
                return own_step(model_output, timestep, sample, *args, **kwargs)
            whole = own_step(model_output, timestep, sample, *args, **{**kwargs, "return_dict": True})
            self._predicted[self._done] = predicted_latents(scheduler, whole, model_output, sample)
            difference = guidance_difference(self._outputs, len(sample))
            if difference is not None:
                self.guidance_difference[self._done] = difference
            self._outputs.clear()
            return whole if kwargs.get("return_dict", True) else whole.to_tuple()

        return step


def predicted_latents(scheduler: Any, stepped: Any, model_output: Tensor, sample: Tensor) -> Tensor:
    """The latents of the finished images as a step predicts them. `stepped`: what the scheduler returned.

    A sample of rectified flow is (1 - sigma) * image + sigma * noise, and the prediction is noise - image. Raises ValueError for
    a scheduler that does not say what it predicts.
    """
    known = getattr(stepped, "pred_original_sample", None)
    if known is not None:
        return known.to(model_output.dtype)
    if not type(scheduler).__name__.startswith(FLOW_MATCHING):
        raise ValueError(f"{type(scheduler).__name__} does not return the image that it predicts: collect without --baselines")
    sigma = scheduler.sigmas[scheduler.step_index - 1].to(sample.device)
    return (sample.float() - sigma * model_output.float()).to(model_output.dtype)


def guidance_difference(outputs: list[Tensor], images: int) -> np.ndarray | None:
    """float32 [images]: the mean square of conditional minus unconditional prediction; None where a step has not both.

    `outputs`: of the denoiser in one step: one with the rows of both predictions, or one for each.
    """
    parts = [part for output in outputs for part in output.split(images)]
    if len(parts) != 2 or len(parts[0]) != len(parts[1]):
        return None
    squares = (parts[0].float() - parts[1].float()).square().flatten(1)
    return squares.mean(dim=1).cpu().numpy()
