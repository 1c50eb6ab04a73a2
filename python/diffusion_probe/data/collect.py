"""Collection of training data from a source: prompts x seeds, shard by shard, resumable after a kill, shared by processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..progress import Progress
from .dataset import describe
from .shards import join, shard_path, shard_prompts, write_shard
from .source import Samples, Source

SHARD_PROMPTS = 32
STEPS = (1, 3, 5, 10, 15)


@dataclass(frozen=True)
class Share:
    """Which of several processes this one is. Shard i of a collection belongs to process i modulo their number: no locks."""

    index: int = 0
    processes: int = 1

    @property
    def first(self) -> bool:
        """The one that speaks for all."""
        return self.index == 0


ALONE = Share()


@dataclass(frozen=True)
class Shard:
    """A part of a collection that is still to be made."""

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
    share: Share = ALONE,
    shard_size: int = SHARD_PROMPTS,
) -> None:
    """Fill `folder` with `counts[split]` prompts x `seeds[split]` samples of each split, watched at `steps`.

    A shard that is there already is kept; of several processes, this one makes its share. Raises ValueError where the folder
    holds samples made in another way or of other prompts, and where the metric fails on a whole shard.
    """
    describe(source, steps, seeds).write(folder)
    pending = missing_shards(source, folder, counts, share, shard_size)
    if not pending:
        return
    progress = Progress("collect", 0, len(pending), unit="shard", shown=share.first)
    for position in progress:
        shard = pending[position]
        samples = _shard(source, shard.prompts, seeds[shard.split], steps, batch_samples)
        known = samples.quality[np.isfinite(samples.quality)]
        if not len(known):
            raise ValueError(f"the metric failed on all {len(samples.quality)} images of {shard.path.name}: it was not written")
        write_shard(shard.path, samples, shard.prompts)
        progress.note(split=shard.split, quality=f"{known.mean():.3f}", failed=len(samples.quality) - len(known))


def missing_shards(
    source: Source, folder: Path, counts: dict[str, int], share: Share = ALONE, shard_size: int = SHARD_PROMPTS
) -> list[Shard]:
    """What of a process's share is not there yet. Raises ValueError where the folder holds other prompts."""
    shards: list[Shard] = []
    for split, count in counts.items():
        prompts = source.prompts(split, count)
        for index, start in enumerate(range(0, count, shard_size)):
            shards.append(Shard(split, shard_path(folder, split, index), prompts[start : start + shard_size]))
    return [shard for shard in shards[share.index :: share.processes] if not _is_there(shard)]


def _is_there(shard: Shard) -> bool:
    """A last shard that has fewer prompts than there are by now is made again."""
    if not shard.path.exists():
        return False
    present = shard_prompts(shard.path)
    common = min(len(present), len(shard.prompts))
    if present[:common] != shard.prompts[:common]:
        raise ValueError(f"{shard.path} holds samples of other prompts: use another folder")
    return len(present) >= len(shard.prompts)


def _shard(source: Source, prompts: list[str], seeds: int, steps: Sequence[int], batch_samples: int) -> Samples:
    parts = []
    batch_prompts = max(1, batch_samples // seeds)
    for start in range(0, len(prompts), batch_prompts):
        chosen = prompts[start : start + batch_prompts]
        repeated = [prompt for prompt in chosen for _ in range(seeds)]
        parts.append(source.generate(repeated, list(range(seeds)) * len(chosen), steps))
    given = [field.name for field in fields(Samples) if getattr(parts[0], field.name) is not None]
    return Samples(**{name: join(name, [getattr(part, name) for part in parts]) for name in given})
