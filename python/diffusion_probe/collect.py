"""Collection of training data from a source: prompts x seeds, shard by shard, resumable after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from .dataset import describe, shard_path, write_shard
from .source import Samples, Source
from .training import Progress

SHARD_PROMPTS = 32
STEPS = (1, 3, 5, 10, 15)


def collect(
    source: Source,
    folder: Path,
    counts: dict[str, int],
    seeds: dict[str, int],
    steps: Sequence[int] = STEPS,
    batch_samples: int = 64,
) -> None:
    """Fill `folder` with `counts[split]` prompts x `seeds[split]` samples of each split, watched at `steps`.

    A shard that is there already is kept. Raises ValueError where the folder holds samples made in another way.
    """
    describe(source, steps, seeds).write(folder)
    pending: list[tuple[str, int, list[str]]] = []
    for split, count in counts.items():
        prompts = source.prompts(split, count)
        for index, start in enumerate(range(0, count, SHARD_PROMPTS)):
            if not shard_path(folder, split, index).exists():
                pending.append((split, index, prompts[start : start + SHARD_PROMPTS]))
    if not pending:
        return
    progress = Progress("collect", 0, len(pending), unit="shard")
    for position in progress:
        split, index, prompts = pending[position]
        samples = _shard(source, prompts, seeds[split], steps, batch_samples)
        write_shard(shard_path(folder, split, index), samples, prompts)
        progress.note(split=split, quality=f"{samples.quality.mean():.3f}")


def _shard(source: Source, prompts: list[str], seeds: int, steps: Sequence[int], batch_samples: int) -> Samples:
    parts = []
    batch_prompts = max(1, batch_samples // seeds)
    for start in range(0, len(prompts), batch_prompts):
        chosen = prompts[start : start + batch_prompts]
        repeated = [prompt for prompt in chosen for _ in range(seeds)]
        parts.append(source.generate(repeated, list(range(seeds)) * len(chosen), steps))
    return Samples(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Samples)})
