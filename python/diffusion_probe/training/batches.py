"""Draws the batches of a training step from the seed and the step alone, and prefetches the next ones in a thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Collection
from ..data.inputs import probe_inputs
from ..probe.config import PREVIEW, ProbeConfig
from .settings import TrainSettings

LOW_QUANTILE = 0.25  # samples up to this quantile of the quality count as low
SPATIAL = ("attention", PREVIEW)
# The mirrored image of a prompt that names a side does not fit the prompt.
SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class Batch(NamedTuple):
    """The samples of a training step."""

    inputs: list[Tensor]  # of the probe, in its order
    quality: Tensor  # [prompts, seeds], or [samples, 1]
    rows: np.ndarray  # index of each sample in its collection
    points: np.ndarray  # index of each sample's decision point

    def targets(self, values: np.ndarray) -> Tensor:
        """Of the collection's `values` [samples, points], those of this batch, in the shape and on the device of `quality`."""
        return torch.from_numpy(values[self.rows, self.points]).to(self.quality.device).view_as(self.quality)


def prompt_batch(collection: Collection, config: ProbeConfig, settings: TrainSettings, step: int) -> Batch:
    """All samples of some prompts, each prompt at a random decision point; quality is [prompts, seeds]."""
    rng = np.random.default_rng([settings.seed, step])
    prompts = rng.choice(len(collection.prompts), size=min(settings.batch_prompts, len(collection.prompts)), replace=False)
    points = collection.description.points
    at = rng.integers(len(points), size=len(prompts))
    gathered = []
    for prompt, point in zip(prompts, at, strict=True):
        rows = slice(prompt * collection.seeds, (prompt + 1) * collection.seeds)
        inputs = probe_inputs(collection, points[point].step, rows)
        can_mirror = SIDES.search(collection.prompts[prompt]) is None
        gathered.append(mirrored(inputs) if can_mirror and rng.random() < settings.mirror_share else inputs)
    rows = (prompts[:, None] * collection.seeds + np.arange(collection.seeds)).ravel()
    quality = torch.from_numpy(collection.quality[prompts])
    return Batch(joined(gathered, config), quality, rows, at.repeat(collection.seeds))


def mirrored(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same samples with left and right swapped in the maps and the preview."""
    return {name: np.ascontiguousarray(value[..., ::-1]) if name in SPATIAL else value for name, value in inputs.items()}


def sample_batch(collection: Collection, config: ProbeConfig, settings: TrainSettings, step: int) -> Batch:
    """Single samples, each at a random decision point, `low_share` of them of low quality; quality is [samples, 1]."""
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
    rows = np.concatenate(order)
    return Batch(joined(gathered, config), torch.from_numpy(quality[rows])[:, None], rows, np.sort(at))


def joined(inputs: list[dict[str, np.ndarray]], config: ProbeConfig) -> list[Tensor]:
    """Several samples' arrays by name as one batch, in the order of the probe's inputs."""
    return [torch.from_numpy(np.concatenate([arrays[spec.name] for arrays in inputs])) for spec in config.inputs()]


@contextmanager
def prefetch(draw: Callable[[int], list[Batch]], device: torch.device) -> Iterator[Callable[[int], list[Batch]]]:
    """A function that returns the batches of a step on the device while a thread draws those of the next step."""

    def prepare(step: int) -> list[Batch]:
        batches = draw(step)
        if device.type != "cuda":
            return batches
        # the device computes while pinned memory is copied
        return [
            batch._replace(inputs=[tensor.pin_memory() for tensor in batch.inputs], quality=batch.quality.pin_memory())
            for batch in batches
        ]

    def moved(batch: Batch) -> Batch:
        inputs = [tensor.to(device, non_blocking=True) for tensor in batch.inputs]
        return batch._replace(inputs=inputs, quality=batch.quality.to(device, non_blocking=True))

    drawn: dict[int, Future[list[Batch]]] = {}
    with ThreadPoolExecutor(1, "batches") as thread:

        def batches(step: int) -> list[Batch]:
            now = drawn.pop(step, None) or thread.submit(prepare, step)
            drawn[step + 1] = thread.submit(prepare, step + 1)
            return [moved(batch) for batch in now.result()]

        yield batches
