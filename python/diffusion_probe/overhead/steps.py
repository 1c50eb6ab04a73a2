"""A whole step of a tiny pipeline: without capture, with capture that does not look at it, and looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..capture import AttentionCapture
from ..tiny import TinyBackbone
from .clock import in_turn, now

IMAGES = 2
WATCHED = 3  # of four; the first step cannot be timed from outside, since no step ends before it
OTHERS = (2, 4)


@dataclass(frozen=True)
class StepTimes:
    """Seconds, one per step."""

    plain: list[float]
    attached: list[float]  # capture is there and watches another step
    attached_extra: list[float]  # the same, less the same step of the plain run beside it
    watched: list[float]


def step_times(name: str, device: torch.device, repeats: int) -> StepTimes:
    """Of the tiny pipeline `name`, from pairs of runs that alternate."""
    backbone = TinyBackbone(name)
    backbone.pipe.to(device)
    capture = AttentionCapture(backbone.pipe, steps=[WATCHED])
    plain, attached = _Runs(backbone, device), _Runs(backbone, device)
    in_turn([lambda: plain.run(backbone.pipe), lambda: attached.run(capture)], repeats, device)
    pairs = list(zip(plain.steps, attached.steps, strict=True))[1:]
    return StepTimes(
        plain=[one[step] for one, _ in pairs for step in (*OTHERS, WATCHED)],
        attached=[two[step] for _, two in pairs for step in OTHERS],
        attached_extra=[two[step] - one[step] for one, two in pairs for step in OTHERS],
        watched=[two[WATCHED] for _, two in pairs],
    )


class _Runs:
    """Runs that note how long each step took, from the end of the one before."""

    def __init__(self, backbone: TinyBackbone, device: torch.device):
        self.steps: list[dict[int, float]] = []
        self._arguments = backbone.arguments(images=IMAGES)
        self._device = device

    def run(self, pipeline: Any) -> None:
        """Of the pipeline itself or of a capture around it."""
        self.steps.append({})
        self._ended = now(self._device)
        pipeline(**self._arguments, callback_on_step_end=self._on_step_end)

    def _on_step_end(self, pipe: Any, index: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        ended = now(self._device)
        self.steps[-1][index + 1] = ended - self._ended
        self._ended = ended
        return kwargs
