"""Formats measurements of capture's cost as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..families import DEFAULT_LAYERS
from .backbones import FULL_SIZE
from .measure import GROUP, LAYERS, Measurement, bytes_per_sample
from .step_times import IMAGES
from .timing import milliseconds

MEGABYTE = 1_000_000


def tables(measured: Sequence[Measurement], device: torch.device, dtype: torch.dtype) -> str:
    """All tables, after a line on the device and the dtype of the measurement."""
    kind = "CPU time of one thread; ratios on a GPU differ" if device.type == "cpu" else torch.cuda.get_device_name(device)
    where = f"{kind}. Layers of true size in {str(dtype).removeprefix('torch.')}."
    return "\n\n".join([where, *(table(measured) for table in (_steps, _layers, _shares, _bytes))])


def _steps(measured: Sequence[Measurement]) -> str:
    head = ["tiny pipeline", "plain step", "capture attached, another step watched", "difference", "watched step"]
    rows = []
    for one in measured:
        times = (one.steps.plain, one.steps.attached, one.steps.attached_extra, one.steps.captured)
        rows.append([one.name, *(milliseconds(seconds) for seconds in times)])
    return f"Milliseconds: the median and the quartiles, of steps with {IMAGES} images.\n\n{_markdown(head, rows)}"


def _layers(measured: Sequence[Measurement]) -> str:
    head = ["one layer, one image", "heads x size", "queries x keys", "watched", "its attention, ms", "its capture, ms"]
    rows = [
        [
            one.name,
            f"{shape.heads} x {shape.head_dim}",
            f"{shape.queries} x {shape.keys}",
            f"{one.shapes.captured[shape]} of {one.shapes.attention[shape]}",
            milliseconds(one.layers.kernel[shape]),
            milliseconds(one.layers.capture[shape]),
        ]
        for one in measured
        for shape in sorted(one.shapes.captured, key=lambda shape: -shape.queries)
    ]
    return _markdown(head, rows)


def _shares(measured: Sequence[Measurement]) -> str:
    head = ["watched step of one image", "layers watched", "all attention, s", "capture, s", "share"]
    head += ["whole step, computed, s", f"{LAYERS} layers, of the step", "share of the step's arithmetic", "extra memory"]
    rows = [
        [
            f"{one.name}, {FULL_SIZE[one.name].pixels}²",
            f"{one.shapes.captured_layers} of {one.shapes.text_layers}",
            f"{one.attention_seconds:.3g}",
            f"{one.capture_seconds:.3g}",
            f"{one.capture_seconds / one.attention_seconds:.1%}",
            f"{one.step_seconds:.3g}",
            f"{one.added_share:.2%}",
            f"{one.capture_flops_share:.2%}",
            f"{one.memory / MEGABYTE:.0f} MB",
        ]
        for one in measured
    ]
    return _markdown(head, rows)


def _bytes(measured: Sequence[Measurement]) -> str:
    rows = []
    for one in measured:
        layers = min(DEFAULT_LAYERS, one.shapes.text_layers)
        cells = (f"{bytes_per_sample(layers, tokens):,.0f} ({tokens} tokens)" for tokens in FULL_SIZE[one.name].tokens)
        rows.append([one.name, *cells])
    table = _markdown(["bytes per sample", "usual caption", "longest prompt"], rows)
    return f"Requests of {GROUP} samples.\n\n{table}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
