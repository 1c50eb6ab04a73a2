"""What a training step sees: batches of samples, drawn from the seed and the step alone, and read ahead of their step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Collection
from ..data.inputs import probe_inputs
from ..probe.network import PREVIEW, ProbeConfig
from .settings import TrainSettings

LOW_QUANTILE = 0.25  # of the samples that `low_share` of a batch comes from
SPATIAL = ("attention", PREVIEW)
# A prompt that says where things are is another prompt when it is mirrored.
SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)

Batch = tuple[list[Tensor], Tensor]
"""Probe inputs, and the quality of each sample."""


def training_batch(collection: Collection, config: ProbeConfig, settings: TrainSettings, step: int) -> Batch:
    """Probe inputs for some prompts with all their seeds, each prompt at a random point; and quality [prompts, seeds]."""
    rng = np.random.default_rng([settings.seed, step])
    prompts = rng.choice(len(collection.prompts), size=min(settings.batch_prompts, len(collection.prompts)), replace=False)
    points = collection.description.points
    at = rng.integers(len(points), size=len(prompts))
    gathered = []
    for prompt, point in zip(prompts, at, strict=True):
        rows = slice(prompt * collection.seeds, (prompt + 1) * collection.seeds)
        shown = probe_inputs(collection, points[point].step, rows)
        can_mirror = SIDES.search(collection.prompts[prompt]) is None
        gathered.append(mirrored(shown) if can_mirror and rng.random() < settings.mirror_share else shown)
    inputs = [torch.from_numpy(np.concatenate([part[signal.name] for part in gathered])) for signal in config.inputs()]
    return inputs, torch.from_numpy(collection.quality[prompts])


def mirrored(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same samples with left and right swapped."""
    return {name: np.ascontiguousarray(value[..., ::-1]) if name in SPATIAL else value for name, value in inputs.items()}


def sample_batch(collection: Collection, config: ProbeConfig, settings: TrainSettings, step: int) -> Batch:
    """Probe inputs for single samples, each at a random point, `low_share` of them from the lowest; and quality [samples, 1]."""
    rng = np.random.default_rng([settings.seed, step])
    quality = collection.quality.ravel()
    known = np.flatnonzero(np.isfinite(quality))
    low = known[quality[known] <= np.quantile(quality[known], LOW_QUANTILE)]
    total = settings.batch_prompts * collection.seeds
    from_low = round(total * settings.low_share)
    rows = np.concatenate([rng.choice(low, from_low), rng.choice(known, total - from_low)])
    points = collection.description.points
    at = rng.integers(len(points), size=total)
    order, gathered = [], []
    for point in range(len(points)):
        own = rows[at == point]
        order.append(own)
        gathered.append(probe_inputs(collection, points[point].step, own))
    inputs = [torch.from_numpy(np.concatenate([part[signal.name] for part in gathered])) for signal in config.inputs()]
    return inputs, torch.from_numpy(quality[np.concatenate(order)])[:, None]


@contextmanager
def read_ahead(draw: Callable[[int], Batch], device: torch.device) -> Iterator[Callable[[int], Batch]]:
    """Gives the batch of a step on the device, while a thread already draws that of the step after it."""

    def prepare(step: int) -> Batch:
        inputs, quality = draw(step)
        if device.type == "cuda":  # what is pinned is copied while the device computes
            return [tensor.pin_memory() for tensor in inputs], quality.pin_memory()
        return inputs, quality

    drawn: dict[int, Future[Batch]] = {}
    with ThreadPoolExecutor(1, "batches") as thread:

        def batch(step: int) -> Batch:
            now = drawn.pop(step, None) or thread.submit(prepare, step)
            drawn[step + 1] = thread.submit(prepare, step + 1)
            inputs, quality = now.result()
            return [tensor.to(device, non_blocking=True) for tensor in inputs], quality.to(device, non_blocking=True)

        yield batch
