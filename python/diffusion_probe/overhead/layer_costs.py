"""Measures attention layers at full size: time of the kernel, and time and memory of capture."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from ..capture.attention_capture import GRID
from ..capture.reduction import AttentionCall, pool, token_maps
from ..families.layout import Layout
from .attention_shapes import AttentionShape, AttentionShapes
from .timing import time_alternating

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
POSITIONS, CHANNELS = 4096, 3072


@dataclass(frozen=True)
class LayerTimes:
    """Seconds per call with one row."""

    kernel: Mapping[AttentionShape, list[float]]  # for every shape in the denoiser
    capture: Mapping[AttentionShape, list[float]]  # for the captured ones


def layer_times(shapes: AttentionShapes, tokens: int, device: torch.device, dtype: torch.dtype, repeats: int) -> LayerTimes:
    """Time kernel and capture alternately, on random queries and keys. `tokens` is the length of the prompt."""
    kernel: dict[AttentionShape, list[float]] = {}
    capture: dict[AttentionShape, list[float]] = {}
    for shape in shapes.attention:
        layer = _Layer(shape, device, dtype)
        if shape in shapes.captured:
            layout = shapes.layouts[shape]
            actions = [layer.attend, lambda layer=layer, layout=layout: layer.capture(layout, tokens)]
            kernel[shape], capture[shape] = time_alternating(actions, repeats, device)
        else:
            kernel[shape] = time_alternating([layer.attend], repeats, device)[0]
    return LayerTimes(kernel, capture)


def product_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Operations per second of a matrix product of the size of a layer: 4096 positions, 3072 channels."""
    left, right = (torch.randn(rows, CHANNELS, device=device, dtype=dtype) for rows in (POSITIONS, CHANNELS))
    seconds = time_alternating([lambda: left @ right], repeats, device)[0]
    return 2 * POSITIONS * CHANNELS**2 / statistics.median(seconds)


def extra_memory(shapes: AttentionShapes, tokens: int, device: torch.device, dtype: torch.dtype) -> int:
    """The peak bytes that capture allocates in any captured layer, besides queries and keys."""
    return max(_extra_memory(shape, shapes.layouts[shape], tokens, device, dtype) for shape in shapes.captured)


def _extra_memory(shape: AttentionShape, layout: Layout, tokens: int, device: torch.device, dtype: torch.dtype) -> int:
    if device.type == "cuda":
        layer = _Layer(shape, device, dtype)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        layer.capture(layout, tokens)
        return torch.cuda.max_memory_allocated(device) - before
    # A new process has no freed memory that capture could reuse unnoticed.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_memory_growth, shape, layout, tokens, dtype).result()


def _memory_growth(shape: AttentionShape, layout: Layout, tokens: int, dtype: torch.dtype) -> int:
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    _Layer(AttentionShape(1, shape.head_dim, 64, 64), cpu, dtype).capture(Layout(slice(0, 64), slice(0, 64), (8, 8)), 8)
    layer = _Layer(shape, cpu, dtype)
    _reset_peak()
    before = psutil.Process().memory_info().rss
    layer.capture(layout, tokens)
    return _peak() - before


def _reset_peak() -> None:
    """Reset the peak size, on Linux: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html"""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def _peak() -> int:
    """The peak size of this process in bytes. On Linux, getrusage would include the parent process."""
    if STATUS.exists():
        return next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES


class _Layer:
    """Random queries, keys and values of one row."""

    def __init__(self, shape: AttentionShape, device: torch.device, dtype: torch.dtype):
        lengths = (shape.queries, shape.keys, shape.keys)
        self._query, self._key, self._value = (
            torch.randn(1, shape.heads, length, shape.head_dim, device=device, dtype=dtype) for length in lengths
        )

    @torch.no_grad()
    def attend(self) -> Tensor:
        """The attention that the denoiser computes."""
        return F.scaled_dot_product_attention(self._query, self._key, self._value)

    def capture(self, layout: Layout, tokens: int) -> Tensor:
        """What capture computes in addition."""
        call = AttentionCall(self._query, self._key, None, self._query.shape[-1] ** -0.5)
        columns = torch.arange(layout.text.start, layout.text.start + tokens, device=self._query.device)
        return pool(token_maps(call.row(0, layout.image), columns), layout.size, GRID).half()
