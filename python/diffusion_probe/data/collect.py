"""Collection of training data from a source: prompts x seeds, shard by shard, resumable after a kill, shared by processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..progress import Progress
from .dataset import UNLABELLED, UNLABELLED_STEPS, Description, describe
from .shards import join, shard_path, shard_prompts, write_shard
from .source import Samples, Source

SHARD_PROMPTS = 32
STEPS = (1, 3, 5, 10, 15)


@dataclass(frozen=True)
class Worker:
    """One of several processes. Shard i of a collection belongs to rank i modulo `world_size`, so no locks are needed."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def of_environment(cls) -> Worker:
        """Of several processes that `torchrun` started this one, else the only one."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def is_main(self) -> bool:
        """Whether this process prints for all of them."""
        return self.rank == 0


SINGLE_WORKER = Worker()


@dataclass(frozen=True)
class PendingShard:
    """A shard that still has to be made."""

    split: str
    path: Path
    prompts: list[str]


def collect(
    source: Source,
    folder: Path,
    counts: dict[str, int],
    seeds: dict[str, int],
    steps: Sequence[int] = STEPS,
    batch_samples: int = 64,
    worker: Worker = SINGLE_WORKER,
    shard_size: int = SHARD_PROMPTS,
) -> None:
    """Fill `folder` with `counts[split]` prompts x `seeds[split]` samples of each split, captured at `steps`.

    Makes the shards of `worker` that do not exist yet, of `shard_size` prompts each. `unlabelled` among the splits needs an
    `ObservableSource`. Raises ValueError where the folder holds samples of other settings or prompts, for maps that are not
    finite, and where the metric fails on a whole shard.
    """
    description = describe(source, steps, seeds)
    if counts.get(UNLABELLED) and not description.of_split(UNLABELLED).points:
        raise ValueError(f"unlabelled samples need a captured step up to {UNLABELLED_STEPS}, not only {list(steps)}")
    description.write(folder)
    pending = pending_shards(source, folder, counts, worker, shard_size)
    if not pending:
        return
    progress = Progress("collect", 0, len(pending), unit="shard", shown=worker.is_main)
    for position in progress:
        shard = pending[position]
        samples = _generate(source, shard, description, batch_samples)
        spoilt = np.flatnonzero(~np.isfinite(samples.attention).all(axis=tuple(range(1, samples.attention.ndim))))
        if len(spoilt):
            prompt, row = divmod(int(spoilt[0]), description.seeds[shard.split])
            raise ValueError(
                f"the attention of seed {description.first_seed(shard.split) + row} of the {shard.split} prompt "
                f"{shard.prompts[prompt]!r} is not finite: {shard.path.name} was not written. "
                "Draw in bfloat16 or float32 (--dtype), or leave the prompt out"
            )
        known = samples.quality[np.isfinite(samples.quality)]
        if not len(known) and shard.split != UNLABELLED:
            raise ValueError(f"the metric failed on all {len(samples.quality)} images of {shard.path.name}: it was not written")
        write_shard(shard.path, samples, shard.prompts)
        if len(known):
            progress.note(split=shard.split, quality=f"{known.mean():.3f}", failed=len(samples.quality) - len(known))
        else:
            progress.note(split=shard.split)


def pending_shards(
    source: Source, folder: Path, counts: dict[str, int], worker: Worker = SINGLE_WORKER, shard_size: int = SHARD_PROMPTS
) -> list[PendingShard]:
    """The shards of a worker that do not exist yet. Raises ValueError where the folder holds other prompts."""
    shards: list[PendingShard] = []
    for split, count in counts.items():
        prompts = source.prompts(split, count)
        for index, start in enumerate(range(0, count, shard_size)):
            shards.append(PendingShard(split, shard_path(folder, split, index), prompts[start : start + shard_size]))
    return [shard for shard in shards[worker.rank :: worker.world_size] if not _is_complete(shard)]


def _is_complete(shard: PendingShard) -> bool:
    """Whether the file holds all prompts. A last shard is made again when prompts were added."""
    if not shard.path.exists():
        return False
    present = shard_prompts(shard.path)
    common = min(len(present), len(shard.prompts))
    if present[:common] != shard.prompts[:common]:
        raise ValueError(f"{shard.path} holds samples of other prompts: use another folder")
    return len(present) >= len(shard.prompts)


def _generate(source: Source, shard: PendingShard, description: Description, batch_samples: int) -> Samples:
    draw = source.observe if shard.split == UNLABELLED else source.generate
    seeds, first = description.seeds[shard.split], description.first_seed(shard.split)
    steps = [point.step for point in description.of_split(shard.split).points]
    parts = []
    batch_prompts = max(1, batch_samples // seeds)
    for start in range(0, len(shard.prompts), batch_prompts):
        chosen = shard.prompts[start : start + batch_prompts]
        repeated = [prompt for prompt in chosen for _ in range(seeds)]
        parts.append(draw(repeated, list(range(first, first + seeds)) * len(chosen), steps))
    given = [field.name for field in fields(Samples) if getattr(parts[0], field.name) is not None]
    return Samples(**{name: join(name, [getattr(part, name) for part in parts]) for name in given})
