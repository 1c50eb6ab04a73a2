"""The study `selection`: quality, denoiser calls and wall clock of several runs of `select` on the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.text_table import text_table
from .record import DIGITS, RECORD, read_record
from .run import best_of

COLUMNS = ("folder", "plan", "prompts", "calls", "seconds", "of the last", "quality", "gap closed")


def study_selection(folders: Sequence[Path]) -> tuple[str, list[dict[str, Any]]]:
    """A row per folder, as text for a terminal and as rows for JSON.

    Where a run finished all of its seeds, and no run has more, the share of its gap between a random and its best seed is known.
    Raises FileNotFoundError for a folder without selections, and ValueError for folders of other prompts than the first.
    """
    runs = {folder: _records(folder) for folder in folders}
    first = {record["prompt"] for record in runs[folders[0]]}
    for folder, records in runs.items():
        if {record["prompt"] for record in records} != first:
            raise ValueError(f"{folder} holds selections of other prompts than {folders[0]}")
    gap = _gap(list(runs.values()))
    seconds = {folder: _mean(record["seconds"] for record in records) for folder, records in runs.items()}
    rows = [
        {
            "folder": str(folder),
            "plan": _plan(records),
            "prompts": len(records),
            "failed_open": sum(record["outcome"] == "failed_open" for record in records),
            "calls": round(_mean(record["calls"] for record in records), 2),
            "seconds": round(seconds[folder], 4),
            "seconds_of_the_last": round(seconds[folder] / seconds[folders[-1]], 4),
            "quality": _quality(records),
            "gap_closed": _closed(_quality(records), gap),
        }
        for folder, records in runs.items()
    ]
    cells = [
        [
            row["folder"],
            row["plan"],
            str(row["prompts"]) if not row["failed_open"] else f"{row['prompts']} ({row['failed_open']} failed open)",
            f"{row['calls']:g}",
            f"{row['seconds']:.3f}",
            f"x{row['seconds_of_the_last']:.3f}",
            *("" if row[name] is None else f"{row[name]:.3f}" for name in ("quality", "gap_closed")),
        ]
        for row in rows
    ]
    head = (
        "Means over prompts. Seconds: drawing, asking, measuring and writing. Gap closed: from a random seed to the best one, of "
        "the run that finished all seeds, if there is one."
    )
    return f"{head}\n\n{text_table([COLUMNS, *cells])}", rows


def _records(folder: Path) -> list[dict[str, Any]]:
    """The selections of a folder, or of its folders."""
    found = [read_record(path.parent) for path in sorted([*folder.glob(RECORD), *folder.glob(f"*/{RECORD}")])]
    records = [record for record in found if record is not None]
    if not records:
        raise FileNotFoundError(f"no {RECORD} in {folder}: 'diffusion-probe select' writes it")
    return records


def _plan(records: Sequence[dict[str, Any]]) -> str:
    plans = {f"{record['plan']['seeds']}{_kept(record['plan']['keep'])}" for record in records}
    return plans.pop() if len(plans) == 1 else f"{len(plans)} plans"


def _kept(keep: dict[str, int]) -> str:
    return "".join(f" {step}={count}" for step, count in keep.items())


def _quality(records: Sequence[dict[str, Any]]) -> float | None:
    """The mean quality of the selected images; None if one has none."""
    values = [best_of(record)["quality"] for record in records]
    return None if None in values else round(_mean(values), DIGITS)


def _gap(runs: Sequence[Sequence[dict[str, Any]]]) -> tuple[float, float] | None:
    """The mean quality of a random and of the best seed, from the run of the most seeds that finished all of them."""
    whole = [records for records in runs if all(sample["rank"] for record in records for sample in record["samples"])]
    most = max(len(record["samples"]) for records in runs for record in records)
    for records in whole:
        qualities = [[sample["quality"] for sample in record["samples"]] for record in records]
        if all(len(own) == most and None not in own for own in qualities):
            return _mean(np.mean(own) for own in qualities), _mean(np.max(own) for own in qualities)
    return None


def _closed(quality: float | None, gap: tuple[float, float] | None) -> float | None:
    if quality is None or gap is None or gap[1] <= gap[0]:
        return None
    return round((quality - gap[0]) / (gap[1] - gap[0]), 4)


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
