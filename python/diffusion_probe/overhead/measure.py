"""Measures the cost of capture for each backbone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..capture.attention_capture import GRID
from ..client.requests import ScoreOptions, score_request
from ..progress import Progress
from .attention_shapes import AttentionShapes, attention_shapes
from .backbones import FULL_SIZE
from .layer_costs import LayerTimes, extra_memory, layer_times, product_rate
from .step_times import StepTimes, step_times
from .timing import one_thread

GROUP = 8
LAYERS = 8  # of which the added time is compared with the whole step


@dataclass(frozen=True)
class Measurement:
    """The cost of capture for one backbone."""

    name: str
    steps: StepTimes
    shapes: AttentionShapes
    layers: LayerTimes
    memory: int  # bytes
    rate: float  # operations per second of the device's matrix products

    @property
    def attention_seconds(self) -> float:
        """Time of all attention of a step, for one image."""
        counts = self.shapes.attention.items()
        seconds = sum(count * statistics.median(self.layers.kernel[shape]) for shape, count in counts)
        return FULL_SIZE[self.name].rows * seconds

    @property
    def capture_seconds(self) -> float:
        """Time that capture adds to a step, for one image. Capture reads the row with the prompt alone."""
        return sum(count * statistics.median(self.layers.capture[shape]) for shape, count in self.shapes.captured.items())

    @property
    def step_seconds(self) -> float:
        """Time of a whole step for one image, computed: its arithmetic at the measured rate of matrix products."""
        return FULL_SIZE[self.name].rows * self.shapes.flops / self.rate

    @property
    def added_share(self) -> float:
        """What capture of eight layers, each as the most expensive, adds to the computed step."""
        return LAYERS * max(statistics.median(seconds) for seconds in self.layers.capture.values()) / self.step_seconds

    @property
    def capture_flops_share(self) -> float:
        """Floating-point operations of capture as a share of the step's."""
        return self.shapes.capture_flops / (FULL_SIZE[self.name].rows * self.shapes.flops)


def overhead(
    backbones: Sequence[str], device: torch.device, dtype: torch.dtype, pairs: int, repeats: int
) -> tuple[Measurement, ...]:
    """Measure each backbone with `pairs` of tiny runs and `repeats` of each full-size layer."""
    progress = Progress("overhead", 0, len(backbones), unit="backbone")
    with one_thread():
        rate = product_rate(device, dtype, repeats)
        return tuple(_measure(backbones[index], device, dtype, pairs, repeats, rate) for index in progress)


def bytes_per_sample(layers: int, tokens: int, grid: tuple[int, int] = GRID) -> float:
    """Request bytes per sample, for a group of eight with float16 maps and all the fields that the guard sends."""
    attention = np.zeros((GROUP, layers, tokens, *grid), np.float16)
    run_id = "0" * 32
    options: ScoreOptions = {
        "token_mask": np.ones((GROUP, tokens), np.uint8),
        "model": "backbone@1",
        "group": f"{run_id}/0",
        "sample_ids": [f"{run_id}/{index}" for index in range(GROUP)],
        "step": 5,
        "total_steps": 25,
        "capture_id": "0" * 16,
        "conditions_id": "0" * 16,
    }
    return len(score_request(attention, 500.0, options).encode()) / GROUP


def _measure(name: str, device: torch.device, dtype: torch.dtype, pairs: int, repeats: int, rate: float) -> Measurement:
    steps = step_times(name, device, pairs)
    shapes = attention_shapes(name)
    usual, longest = FULL_SIZE[name].tokens
    layers = layer_times(shapes, usual, device, dtype, repeats)
    return Measurement(name, steps, shapes, layers, extra_memory(shapes, longest, device, dtype), rate)
