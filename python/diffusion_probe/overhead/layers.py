"""One attention layer at the true size of a backbone: its kernel beside what capture computes for it, and the memory of that."""

from __future__ import annotations

import multiprocessing
import resource
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
from ..capture.families import Layout
from ..capture.reduction import AttentionCall, pool, token_maps
from .clock import in_turn
from .shapes import AttentionShape, Shapes

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class LayerTimes:
    """Seconds for one row, one per repetition."""

    kernel: Mapping[AttentionShape, list[float]]  # of every shape in the denoiser
    capture: Mapping[AttentionShape, list[float]]  # of the watched ones


def layer_times(shapes: Shapes, tokens: int, device: torch.device, dtype: torch.dtype, repeats: int) -> LayerTimes:
    """With random queries and keys, kernel and capture in turn. `tokens`: of the prompt."""
    kernel: dict[AttentionShape, list[float]] = {}
    capture: dict[AttentionShape, list[float]] = {}
    for shape in shapes.attention:
        layer = _Layer(shape, device, dtype)
        if shape in shapes.watched:
            layout = shapes.layouts[shape]
            actions = [layer.attend, lambda layer=layer, layout=layout: layer.look(layout, tokens)]
            kernel[shape], capture[shape] = in_turn(actions, repeats, device)
        else:
            kernel[shape] = in_turn([layer.attend], repeats, device)[0]
    return LayerTimes(kernel, capture)


def extra_memory(shapes: Shapes, tokens: int, device: torch.device, dtype: torch.dtype) -> int:
    """The most bytes that capture needs at a time beside queries and keys, over the watched layers."""
    return max(_extra_memory(shape, shapes.layouts[shape], tokens, device, dtype) for shape in shapes.watched)


def _extra_memory(shape: AttentionShape, layout: Layout, tokens: int, device: torch.device, dtype: torch.dtype) -> int:
    if device.type == "cuda":
        layer = _Layer(shape, device, dtype)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        layer.look(layout, tokens)
        return torch.cuda.max_memory_allocated(device) - before
    # In a process of its own, which has freed nothing that could be used again.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_growth, shape, layout, tokens, dtype).result()


def _growth(shape: AttentionShape, layout: Layout, tokens: int, dtype: torch.dtype) -> int:
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    _Layer(AttentionShape(1, shape.head_dim, 64, 64), cpu, dtype).look(Layout(slice(0, 64), 0, (8, 8)), 8)
    layer = _Layer(shape, cpu, dtype)
    _forget_peak()
    before = psutil.Process().memory_info().rss
    layer.look(layout, tokens)
    return _peak() - before


def _forget_peak() -> None:
    """On Linux the largest size so far can be set back: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html"""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def _peak() -> int:
    """The largest size of this process, bytes. What getrusage says of it includes, on Linux, the process that started it."""
    if STATUS.exists():
        return next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES


class _Layer:
    """Random queries and keys of one row."""

    def __init__(self, shape: AttentionShape, device: torch.device, dtype: torch.dtype):
        lengths = (shape.queries, shape.keys, shape.keys)
        self._query, self._key, self._value = (
            torch.randn(1, shape.heads, length, shape.head_dim, device=device, dtype=dtype) for length in lengths
        )

    @torch.no_grad()
    def attend(self) -> Tensor:
        """What the denoiser computes anyway."""
        return F.scaled_dot_product_attention(self._query, self._key, self._value)

    def look(self, layout: Layout, tokens: int) -> Tensor:
        """What capture adds."""
        call = AttentionCall(self._query, self._key, None, self._query.shape[-1] ** -0.5)
        columns = torch.arange(layout.text_start, layout.text_start + tokens, device=self._query.device)
        return pool(token_maps(call.row(0, layout.image), columns), layout.size, GRID).half()
