"""The folder of a selection: its images, the contact sheet, and `selection.json`, which is written last."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..conditions.differences import describe_differences, differences
from ..probe.manifest import to_json
from .contact_sheet import Tile, write_contact_sheet
from .selection import SelectedSample, Selection

RECORD, SHEET = "selection.json", "sheet.png"
IMAGES = "rank-*-seed-*.png"
COLUMNS = 4
DIGITS = 6


def read_record(folder: Path) -> dict[str, Any] | None:
    """The content of `selection.json`; None if there is none. Raises ValueError for a file that is not JSON."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): choose another --out, or --fresh") from error


def is_complete(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds the selection of these settings. Raises ValueError where it holds another one."""
    record = read_record(folder)
    if record is None:
        return False
    found = differences(dict(settings), record.get("settings", {}))
    if found:
        raise ValueError(
            f"{folder} holds a selection of other settings: {describe_differences(found)}. Choose another --out, or --fresh"
        )
    return True


def write_selection(selection: Selection, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder, in place of what an earlier selection left there, and return the content of `selection.json`."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    for path in folder.glob(IMAGES):
        path.unlink()
    for sample in selection.finished:
        assert sample.image is not None
        sample.image.save(folder / image_name(sample))
    tiles = [_tile(sample, selection) for sample in selection.samples]
    write_contact_sheet(folder / SHEET, tiles, COLUMNS, selection.prompt)
    seconds = {**selection.seconds, "write": time.monotonic() - started}
    record = _record(selection, seconds, settings)
    partial = folder / f"{RECORD}.partial"
    partial.write_text(to_json(record), encoding="utf-8")
    os.replace(partial, folder / RECORD)
    return record


def image_name(sample: SelectedSample) -> str:
    """The file of a finished image."""
    return f"rank-{sample.rank}-seed-{sample.seed}.png"


def _record(selection: Selection, seconds: Mapping[str, float], settings: Mapping[str, Any]) -> dict[str, Any]:
    plan, total_steps = selection.plan, selection.total_steps
    total = sum(value for name, value in seconds.items() if name != "ask")  # which is a part of `draw`
    denoising = seconds["draw"] - seconds["ask"]
    whole = plan.seeds * total_steps
    return {
        "prompt": selection.prompt,
        "pipeline": settings["pipeline"],
        "budget": selection.budget,
        "plan": {"seeds": plan.seeds, "keep": {str(step): count for step, count in plan.keep}},
        "expected": selection.expected,
        "outcome": selection.outcome,
        "failures": [{"step": one.step, "reason": one.reason, "detail": one.detail} for one in selection.failures],
        "model": selection.model,
        "differences": {path: {"run": run, "probe": probe} for path, (run, probe) in selection.differences.items()},
        "ranked_by": selection.ranked_by,
        "samples": [_sample(sample) for sample in selection.samples],
        "stages": _stages(selection),
        "calls": selection.calls,
        "seconds": _rounded(total),
        "seconds_of": {name: _rounded(value) for name, value in seconds.items()},
        # All seeds finished: what it would have cost; and how many could have been finished for the calls of this selection.
        "best_of_k": {
            "k": plan.seeds,
            "calls": whole,
            "seconds_estimated": _rounded(denoising * whole / selection.calls),
            "k_for_these_calls": _rounded(selection.calls / total_steps),
        },
        "settings": dict(settings),
        "version": __version__,
    }


def _stages(selection: Selection) -> list[dict[str, Any]]:
    """One for each question that was asked; calls and seconds from the start until its answer."""
    failed = {failure.step for failure in selection.failures}
    stages, calls, seconds = [], 0, 0.0
    for stage, following in itertools.pairwise(selection.stages):
        calls, seconds = calls + stage.calls, seconds + stage.seconds
        outcome = "failed_open" if stage.last_step in failed else "scored"
        figures = {"alive": stage.samples, "kept": following.samples, "outcome": outcome}
        stages.append({"step": stage.last_step, **figures, "calls": calls, "seconds": _rounded(seconds)})
    return stages


def _sample(sample: SelectedSample) -> dict[str, Any]:
    return {
        "seed": sample.seed,
        "scores": {str(one.step): _rounded(one.score) for one in sample.judgements if one.score is not None},
        "dropped_at": sample.dropped_at,
        "quality": _rounded(sample.quality),
        "rank": sample.rank,
        "image": None if sample.rank is None else image_name(sample),
        "judgements": [
            {"step": one.step, "decision": one.decision, "reason": one.reason, "score": _rounded(one.score)}
            for one in sample.judgements
        ],
    }


def _tile(sample: SelectedSample, selection: Selection) -> Tile:
    score = "" if sample.score is None else f", score {sample.score:.3g}"
    lines = [f"seed {sample.seed}{score}"]
    if sample.rank is None:
        return Tile(sample.preview, [*lines, f"dropped at step {sample.dropped_at}"], faded=True)
    quality = "" if sample.quality is None else f", quality {sample.quality:.3g}"
    return Tile(sample.image, [*lines, f"rank {sample.rank}{quality}"], framed=sample is selection.best)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
