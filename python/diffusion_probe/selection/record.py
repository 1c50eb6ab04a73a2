"""The folder of a selection: its images, the contact sheet, and `selection.json`, which is written last."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..conditions.differences import describe_differences, differences
from ..guard import GuardFailure
from ..probe.manifest import write_json
from .contact_sheet import Tile, write_contact_sheet
from .selection import SelectedSample, Selection

RECORD, SHEET = "selection.json", "sheet.png"
IMAGES = "rank-*-seed-*.png"
COLUMNS = 4
DIGITS = 6


def read_record(folder: Path, name: str = RECORD) -> dict[str, Any] | None:
    """The content of the record; None if there is none. Raises ValueError for a file that is not JSON."""
    path = folder / name
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): choose another --out, or --fresh") from error


def is_complete(folder: Path, settings: Mapping[str, Any], name: str = RECORD) -> bool:
    """Whether the folder holds the record of these settings. Raises ValueError where it holds another one."""
    record = read_record(folder, name)
    if record is None:
        return False
    found = differences(dict(settings), record.get("settings", {}))
    if found:
        what = name.removesuffix(".json")
        raise ValueError(
            f"{folder} holds a {what} of other settings: {describe_differences(found)}. Choose another --out, or --fresh"
        )
    return True


def write_selection(selection: Selection, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder, in place of what an earlier selection left there, and return the content of `selection.json`."""
    started = time.monotonic()
    tiles = [sample_tile(sample, selection) for sample in selection.samples]
    write_images(selection, tiles, folder, RECORD)
    seconds = {**selection.seconds, "write": time.monotonic() - started}
    return write_record(_record(selection, seconds, settings), folder, RECORD)


def write_images(selection: Selection, tiles: Sequence[Tile], folder: Path, name: str) -> None:
    """Write the finished images and the contact sheet, in place of the record `name` and the images that it had."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    for path in folder.glob(IMAGES):
        path.unlink()
    for sample in selection.finished:
        assert sample.image is not None
        sample.image.save(folder / image_name(sample))
    write_contact_sheet(folder / SHEET, tiles, COLUMNS, selection.prompt)


def write_record(record: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """Write the record whole or not at all, and return it."""
    write_json(folder / name, record)
    return record


def image_name(sample: SelectedSample) -> str:
    """The file of a finished image."""
    return f"rank-{sample.rank}-seed-{sample.seed}.png"


def _record(selection: Selection, seconds: Mapping[str, float], settings: Mapping[str, Any]) -> dict[str, Any]:
    plan, total_steps = selection.plan, selection.total_steps
    denoising = seconds["draw"] - seconds["ask"]
    whole = plan.seeds * total_steps
    return {
        "prompt": selection.prompt,
        "pipeline": settings["pipeline"],
        "budget": selection.budget,
        "expected": selection.expected,
        "outcome": selection.outcome,
        "failures": [failure_entry(one) for one in selection.failures],
        "model": selection.model,
        "differences": difference_entries(selection.differences),
        "ranked_by": selection.ranked_by,
        **draw_entry(selection),
        **seconds_entry(seconds),
        # All seeds finished: what it would have cost; and how many could have been finished for the calls of this selection.
        "best_of_k": {
            "k": plan.seeds,
            "calls": whole,
            "seconds_estimated": rounded(denoising * whole / selection.calls),
            "k_for_these_calls": rounded(selection.calls / total_steps),
        },
        "settings": dict(settings),
        "version": __version__,
    }


def draw_entry(selection: Selection) -> dict[str, Any]:
    """The plan of a draw, its samples, its stages and its denoiser calls."""
    return {
        "plan": {"seeds": selection.plan.seeds, "keep": {str(step): count for step, count in selection.plan.keep}},
        "samples": [_sample(sample, selection) for sample in selection.samples],
        "stages": _stages(selection),
        "calls": selection.calls,
    }


def seconds_entry(seconds: Mapping[str, float]) -> dict[str, Any]:
    """The seconds in sum, and of each part; `ask` is a part of `draw`."""
    total = sum(value for name, value in seconds.items() if name != "ask")
    return {"seconds": rounded(total), "seconds_of": {name: rounded(value) for name, value in seconds.items()}}


def failure_entry(failure: GuardFailure) -> dict[str, Any]:
    """Why samples were kept without a score."""
    return {"step": failure.step, "reason": failure.reason, "detail": failure.detail}


def difference_entries(found: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    """How a run differs from the probe's capture and conditions."""
    return {path: {"run": run, "probe": probe} for path, (run, probe) in found.items()}


def _stages(selection: Selection) -> list[dict[str, Any]]:
    """One for each question that was asked; calls and seconds from the start until its answer."""
    failed = {failure.step for failure in selection.failures}
    stages, calls, seconds = [], 0, 0.0
    for stage, following in itertools.pairwise(selection.stages):
        calls, seconds = calls + stage.calls, seconds + stage.seconds
        outcome = "failed_open" if stage.last_step in failed else "scored"
        figures = {"alive": stage.samples, "kept": following.samples, "outcome": outcome}
        stages.append({"step": stage.last_step, **figures, "calls": calls, "seconds": rounded(seconds)})
    return stages


def _sample(sample: SelectedSample, selection: Selection) -> dict[str, Any]:
    rewritten = {"prompt": sample.prompt} if sample.prompt != selection.prompt else {}
    return {
        **rewritten,
        "seed": sample.seed,
        "scores": {str(one.step): rounded(one.score) for one in sample.judgements if rounded(one.score) is not None},
        "dropped_at": sample.dropped_at,
        "quality": rounded(sample.quality),
        "rank": sample.rank,
        "image": None if sample.rank is None else image_name(sample),
        "judgements": [
            {"step": one.step, "decision": one.decision, "reason": one.reason, "score": rounded(one.score)}
            for one in sample.judgements
        ],
    }


def sample_tile(sample: SelectedSample, selection: Selection) -> Tile:
    """A sample on the contact sheet; its prompt where that is not the selection's."""
    score = "" if sample.score is None else f", score {sample.score:.3g}"
    rewritten = [sample.prompt] if sample.prompt != selection.prompt else []
    lines = [*rewritten, f"seed {sample.seed}{score}"]
    if sample.rank is None:
        return Tile(sample.preview, [*lines, f"dropped at step {sample.dropped_at}"], faded=True)
    quality = "" if sample.quality is None else f", quality {sample.quality:.3g}"
    return Tile(sample.image, [*lines, f"rank {sample.rank}{quality}"], framed=sample is selection.best)


def rounded(value: float | None) -> float | None:
    """As it is written; None for a number that is not known."""
    return None if value is None or math.isnan(value) else round(value, DIGITS)
