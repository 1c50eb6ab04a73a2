"""Runs over one prompt or a file of prompts, resumed where they were stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..progress import Progress
from .backend import Backend
from .record import RECORD, is_complete, read_record, write_selection
from .selector import Selector


def folders_of(out: Path, prompts: Sequence[str], is_file: bool) -> list[Path]:
    """The folder of each prompt: `out` itself, or `out`/0001 and so on for those of a file."""
    return [out / f"{number:04d}" for number in range(1, len(prompts) + 1)] if is_file else [out]


def select_prompts(
    selector: Selector,
    backend: Backend,
    prompts: Sequence[str],
    folders: Sequence[Path],
    settings: Mapping[str, Any],
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """Select for each prompt that has no complete folder, and return the content of every `selection.json`. See run_prompts."""

    def select(prompt: str, folder: Path, own: Mapping[str, Any]) -> dict[str, Any]:
        return write_selection(selector(prompt), folder, own)

    return run_prompts("select", RECORD, select, backend, prompts, folders, settings, fresh)


def run_prompts(
    label: str,
    name: str,
    run: Callable[[str, Path, Mapping[str, Any]], dict[str, Any]],
    backend: Backend,
    prompts: Sequence[str],
    folders: Sequence[Path],
    settings: Mapping[str, Any],
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """Call `run(prompt, folder, its settings)` for each prompt whose folder has no record `name`, and return every record.

    `label`: of the progress bar. `settings`: what decides the images, JSON values; `fresh`: replace what is there. Raises
    ValueError for a prompt that cannot be drawn and for a folder of other settings, before any image is drawn.
    """
    for prompt in prompts:
        backend.check(prompt)
    own = [{"prompt": prompt, **settings} for prompt in prompts]
    pending = [index for index, folder in enumerate(folders) if fresh or not is_complete(folder, own[index], name)]
    progress = Progress(label, 0, len(pending), unit="prompt", shown=len(pending) > 0)
    for position in progress:
        index = pending[position]
        record = run(prompts[index], folders[index], own[index])
        figures = {"calls": record["calls"], "seconds": record["seconds"]}
        best = best_of(record)
        progress.note(**figures, **({} if best["quality"] is None else {"quality": best["quality"]}))
    records = [read_record(folder, name) for folder in folders]
    return [record for record in records if record is not None]


def best_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The best sample of a record."""
    return next(sample for sample in record["samples"] if sample["rank"] == 1)


def known_qualities(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """The quality of each record's best sample that has one."""
    return [quality for record in records if (quality := best_of(record)["quality"]) is not None]


def summary(records: Sequence[Mapping[str, Any]], out: Path) -> str:
    """What was selected and what it took, for a terminal."""
    calls = float(np.mean([record["calls"] for record in records]))
    seconds = float(np.mean([record["seconds"] for record in records]))
    qualities = known_qualities(records)
    if len(records) == 1:
        best = best_of(records[0])
        head = f"{out / best['image']}: seed {best['seed']}"
        known = {"quality": best["quality"], "score": next(reversed(best["scores"].values()), None)}
        parts = [f"{name} {value:.3f}" for name, value in known.items() if value is not None]
    else:
        head = f"{out}: {len(records)} prompts"
        parts = [f"mean quality of the selected images {np.mean(qualities):.3f}"] if qualities else []
    each = " a prompt" if len(records) > 1 else ""
    lines = [", ".join([head, *parts, f"{calls:.4g} denoiser calls and {seconds:.2f} s{each}"])]
    return "\n".join([*lines, *failed_open(records)])


def failed_open(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line about the records in which a question failed; empty without any."""
    failed = [record for record in records if record["failures"]]
    if not failed:
        return []
    first = failed[0]["failures"][0]
    what = f"{len(failed)} of {len(records)} failed open, and kept what could not be scored"
    return [f"{what}; the first: {first['reason']}: {first['detail']}"]
