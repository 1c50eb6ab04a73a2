"""The folder of an optimized prompt: its images, the contact sheet, and `prompt.json`, which is written last."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..selection.record import (
    difference_entries,
    draw_entry,
    failure_entry,
    rounded,
    sample_tile,
    seconds_entry,
    write_images,
    write_record,
)
from .course import Course
from .optimization import Optimization
from .threshold import ALWAYS, NEVER

RECORD = "prompt.json"
NAMES = {ALWAYS: "always", NEVER: "never"}


def write_optimization(answer: Optimization, rewriter: str, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder, in place of what was there before, and return the content of `prompt.json`. `rewriter`: its name."""
    started = time.monotonic()
    tiles = [
        sample_tile(sample, draw.selection)
        for draw in answer.draws
        if draw.purpose != "look"
        for sample in draw.selection.samples
    ]
    write_images(answer.final, tiles, folder, RECORD)
    seconds = _seconds(answer) | {"write": time.monotonic() - started}
    return write_record(_record(answer, rewriter, seconds, settings), folder, RECORD)


def _record(answer: Optimization, rewriter: str, seconds: Mapping[str, float], settings: Mapping[str, Any]) -> dict[str, Any]:
    final = answer.final
    draws = [{"purpose": draw.purpose, **draw_entry(draw.selection)} for draw in answer.draws]
    differences = {path: pair for draw in answer.draws for path, pair in draw.selection.differences.items()}
    return {
        "prompt": answer.prompt,
        "chosen": answer.chosen,
        "original_won": answer.original_won,
        "decision": answer.decision,
        "pipeline": settings["pipeline"],
        "budget": final.budget,
        "tau": None if answer.course is None else tau_entry(answer.course),
        "look": None if answer.look is None else _look(answer),
        "rewriter": _rewriter(answer, rewriter),
        "wordings": [
            {
                "prompt": wording.prompt,
                "samples": wording.samples,
                "score": rounded(wording.score),
                "quality": rounded(wording.quality),
            }
            for wording in answer.wordings
        ],
        "outcome": answer.outcome,
        "failures": [failure_entry(one) for one in answer.failures],
        "model": next((draw.selection.model for draw in answer.draws if draw.selection.model), None),
        "differences": difference_entries(differences),
        "ranked_by": final.ranked_by,
        "samples": draws[-1]["samples"],
        "draws": draws,
        "calls": answer.calls,
        **seconds_entry(seconds),
        "settings": dict(settings),
        "version": __version__,
    }


def tau_entry(course: Course) -> dict[str, Any]:
    """Below which score a prompt is rewritten, and where that number is from."""
    threshold = course.threshold
    entry: dict[str, Any] = {"value": NAMES.get(course.tau, rounded(course.tau)), "step": course.step}
    if threshold is None:
        return {**entry, "from": "operator"}
    return {
        **entry,
        "from": "calibration",
        "share_below": rounded(threshold.share),
        "gain_per_rewriting": rounded(threshold.gain),
        "calls_per_rewriting": rounded(threshold.calls),
        "value_of_a_call": rounded(threshold.value_of_call),
    }


def _look(answer: Optimization) -> dict[str, Any]:
    assert answer.look is not None
    scores = answer.look.scores
    listed = None if scores is None else [rounded(score) for score in scores]
    return {"step": answer.look.step, "score": rounded(answer.look.score), "scores": listed}


def _rewriter(answer: Optimization, name: str) -> dict[str, Any]:
    rewrites = answer.rewrites
    if rewrites is None:
        return {"name": name, "outcome": "not_asked", "failure": None, "refused": [], "seconds": 0.0}
    return {
        "name": name,
        "outcome": "failed" if rewrites.failure else "answered",
        "failure": rewrites.failure,
        "refused": [{"prompt": text, "reason": reason} for text, reason in rewrites.refused],
        "seconds": rounded(rewrites.seconds),
    }


def _seconds(answer: Optimization) -> dict[str, float]:
    """`draw`, of which `ask`, `rewrite` and `measure`, over all draws."""
    parts = {name: sum(draw.selection.seconds[name] for draw in answer.draws) for name in ("draw", "ask", "measure")}
    return parts | {"rewrite": answer.rewrites.seconds if answer.rewrites else 0.0}
