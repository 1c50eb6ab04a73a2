"""`diffusion-probe overhead`: measures, and writes the tables of docs/capture-and-guard.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..capture.families import DEFAULT_LAYERS
from ..progress import Progress
from .backbones import TRUE
from .clock import milliseconds, one_thread
from .layers import LayerTimes, extra_memory, layer_times
from .shapes import AttentionShape, Shapes, true_shapes
from .steps import IMAGES, StepTimes, step_times
from .wire import GROUP, bytes_per_sample

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Measured:
    """All about one backbone."""

    name: str
    steps: StepTimes
    shapes: Shapes
    layers: LayerTimes
    memory: int

    @property
    def passes(self) -> int:
        """Rows of the denoiser per image and step."""
        return TRUE[self.name].passes

    @property
    def attention_seconds(self) -> float:
        """Of all attention of a step, for one image."""
        counts = self.shapes.attention.items()
        return self.passes * sum(count * statistics.median(self.layers.kernel[shape]) for shape, count in counts)

    @property
    def capture_seconds(self) -> float:
        """Of all watched layers, for one image; only the half of the guidance that sees the prompt is looked at."""
        return sum(count * statistics.median(self.layers.capture[shape]) for shape, count in self.shapes.watched.items())

    @property
    def capture_operations(self) -> float:
        """As a share of the step's."""
        return self.shapes.capture_operations / (self.passes * self.shapes.operations)


def overhead(
    backbones: Sequence[str], device: torch.device, dtype: torch.dtype, pairs: int, repeats: int
) -> tuple[Measured, ...]:
    """Measure each backbone: `pairs` of tiny runs, `repeats` of each layer of true size."""
    progress = Progress("overhead", 0, len(backbones), unit="backbone")
    with one_thread():
        return tuple(_measure(backbones[index], device, dtype, pairs, repeats) for index in progress)


def _measure(name: str, device: torch.device, dtype: torch.dtype, pairs: int, repeats: int) -> Measured:
    steps = step_times(name, device, pairs)
    shapes = true_shapes(name)
    usual, longest = TRUE[name].text
    layers = layer_times(shapes, usual, device, dtype, repeats)
    return Measured(name, steps, shapes, layers, extra_memory(shapes, longest, device, dtype))


def tables(measured: Sequence[Measured], device: torch.device, dtype: torch.dtype) -> str:
    """What was measured, in Markdown. `device`, `dtype`: what it was measured with."""
    kind = "CPU time of one thread; ratios on a GPU differ" if device.type == "cpu" else torch.cuda.get_device_name(device)
    where = f"{kind}. Layers of true size in {str(dtype).removeprefix('torch.')}."
    return "\n\n".join([where, *(table(measured) for table in (_steps, _layers, _shares, _wire))])


def _steps(measured: Sequence[Measured]) -> str:
    head = ["tiny pipeline", "plain step", "capture attached, another step watched", "extra of that", "watched step"]
    rows = [
        [
            one.name,
            milliseconds(one.steps.plain),
            milliseconds(one.steps.attached),
            milliseconds(one.steps.attached_extra),
            milliseconds(one.steps.watched),
        ]
        for one in measured
    ]
    text = f"Milliseconds: the median, and from where to where the middle half lies. Steps of {IMAGES} images."
    return f"{text}\n\n{_markdown(head, rows)}"


def _layers(measured: Sequence[Measured]) -> str:
    head = ["one layer, one image", "heads x size", "queries x keys", "watched", "its attention, ms", "its capture, ms"]
    rows = [_layer(one, shape) for one in measured for shape in sorted(one.shapes.watched, key=lambda shape: -shape.queries)]
    return _markdown(head, rows)


def _layer(one: Measured, shape: AttentionShape) -> list[str]:
    return [
        one.name,
        f"{shape.heads} x {shape.head_dim}",
        f"{shape.queries} x {shape.keys}",
        f"{one.shapes.watched[shape]} of {one.shapes.attention[shape]}",
        milliseconds(one.layers.kernel[shape]),
        milliseconds(one.layers.capture[shape]),
    ]


def _shares(measured: Sequence[Measured]) -> str:
    head = [
        "watched step of one image",
        "layers watched",
        "all attention, s",
        "capture, s",
        "share",
        "share of the step's arithmetic",
        "extra memory",
    ]
    rows = [
        [
            f"{one.name}, {TRUE[one.name].pixels}²",
            f"{one.shapes.watched_layers} of {one.shapes.text_layers}",
            f"{one.attention_seconds:.3g}",
            f"{one.capture_seconds:.3g}",
            f"{one.capture_seconds / one.attention_seconds:.1%}",
            f"{one.capture_operations:.2%}",
            f"{one.memory / MEGABYTE:.0f} MB",
        ]
        for one in measured
    ]
    return _markdown(head, rows)


def _wire(measured: Sequence[Measured]) -> str:
    head = ["bytes per sample", "usual caption", "longest prompt"]
    rows = []
    for one in measured:
        cells = (
            f"{bytes_per_sample(min(DEFAULT_LAYERS, one.shapes.text_layers), tokens):,.0f} ({tokens} tokens)"
            for tokens in TRUE[one.name].text
        )
        rows.append([one.name, *cells])
    return f"Requests of {GROUP} samples.\n\n{_markdown(head, rows)}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
