"""Times whole steps of a tiny pipeline: without capture, with capture of another step, and with capture of this step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..capture import AttentionCapture
from ..tiny import TinyBackbone
from .timing import clock, time_alternating

IMAGES = 2
CAPTURED_STEP = 3  # of four; a step's time starts at the end of the one before, so the first cannot be timed
OTHER_STEPS = (2, 4)


@dataclass(frozen=True)
class StepTimes:
    """Seconds per step."""

    plain: list[float]
    attached: list[float]  # with capture of another step
    attached_extra: list[float]  # `attached` minus the same step of the paired plain run
    captured: list[float]


def step_times(name: str, device: torch.device, repeats: int) -> StepTimes:
    """Time alternating runs of the tiny pipeline `name`, with and without capture; `repeats` pairs."""
    backbone = TinyBackbone(name)
    backbone.pipe.to(device)
    capture = AttentionCapture(backbone.pipe, steps=[CAPTURED_STEP])
    plain, attached = _Runs(backbone, device), _Runs(backbone, device)
    time_alternating([lambda: plain.run(backbone.pipe), lambda: attached.run(capture)], repeats, device)
    pairs = list(zip(plain.steps, attached.steps, strict=True))[1:]
    return StepTimes(
        plain=[one[step] for one, _ in pairs for step in (*OTHER_STEPS, CAPTURED_STEP)],
        attached=[two[step] for _, two in pairs for step in OTHER_STEPS],
        attached_extra=[two[step] - one[step] for one, two in pairs for step in OTHER_STEPS],
        captured=[two[CAPTURED_STEP] for _, two in pairs],
    )


class _Runs:
    """Runs a pipeline and records the duration of each step after the first."""

    def __init__(self, backbone: TinyBackbone, device: torch.device):
        self.steps: list[dict[int, float]] = []
        self._arguments = backbone.arguments(images=IMAGES)
        self._device = device

    def run(self, pipeline: Any) -> None:
        """Run a pipeline, or a capture that wraps it."""
        self.steps.append({})
        self._ended = clock(self._device)
        pipeline(**self._arguments, callback_on_step_end=self._on_step_end)

    def _on_step_end(self, pipe: Any, index: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        ended = clock(self._device)
        self.steps[-1][index + 1] = ended - self._ended
        self._ended = ended
        return kwargs
