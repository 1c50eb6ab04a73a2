"""The file of feedback that the service writes (`FEEDBACK_FILE`): one line of JSON per accepted receipt.

A line has `decided_at`, `model`, `version`, `step`; `sample` and `group`, pseudonyms or null; `score`, `quality`; `weight`, one
over the probability that the sample was finished, or null where samples like it may never be; `good_at`, and more that is not
read here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..calibrate import CalibrationSamples

OTHER_PROBE = "of other probes or versions"
OTHER_STEP = "at steps without a decision point"
NO_WEIGHT = "of policies that explore nothing, which say nothing about dropped images"
REPEATED = "that came before"
CUT_OFF = "cut off at the end of the file"


@dataclass(frozen=True)
class Feedback:
    """What a file of feedback says about one probe."""

    by_step: dict[int, CalibrationSamples]  # steps with feedback, ascending
    captions: int  # groups, and samples without one
    ungrouped: int  # lines without a group
    unused: dict[str, int]  # lines, by why they are not used

    @property
    def receipts(self) -> int:
        """Lines that are used."""
        return sum(map(len, self.by_step.values()))


def read_feedback(paths: Sequence[Path], manifest: Mapping[str, Any]) -> Feedback:
    """The feedback on a probe in some files.

    Samples of a group are of one caption; a sample without a group counts as a caption of its own. Raises FileNotFoundError
    without a file, and ValueError for a line that is not valid, for none that can be used, and for another `good_at` than the
    probe's.
    """
    steps = {point["step"] for point in manifest["decision_points"]}
    unused: Counter[str] = Counter()
    captions: dict[tuple[str, object], int] = {}
    seen: set[tuple[object, ...]] = set()
    rows: dict[int, list[tuple[int, float, float, float]]] = {}
    ungrouped = 0
    for place, line in _lines(paths, unused):
        reason = _reason_against(line, manifest, steps)
        if reason is None and line["sample"] is not None:
            key = line["sample"], line["step"], line["decided_at"]
            reason = REPEATED if key in seen else None
            seen.add(key)
        if reason is not None:
            unused[reason] += 1
            continue
        if line["good_at"] != manifest["metric"]["good_at"]:
            raise ValueError(f"{place}: good_at is {line['good_at']}, but the probe's is {manifest['metric']['good_at']}")
        if line["group"] is not None:
            caption = captions.setdefault(("group", line["group"]), len(captions))
        else:
            caption = captions.setdefault(("sample", place if line["sample"] is None else line["sample"]), len(captions))
            ungrouped += 1
        rows.setdefault(line["step"], []).append((caption, line["score"], line["quality"], line["weight"]))
    if not rows:
        why = "; ".join(f"{count} {reason}" for reason, count in unused.items())
        raise ValueError(f"no feedback on {manifest['name']}@{manifest['version']} in {paths[0]}: {why or 'it has no lines'}")
    by_step = {step: _samples(rows[step]) for step in sorted(rows)}
    return Feedback(by_step, len(captions), ungrouped, dict(unused))


def _samples(rows: list[tuple[int, float, float, float]]) -> CalibrationSamples:
    caption, scores, quality, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    samples = CalibrationSamples(caption.astype(np.intp), scores, quality, weight)
    return samples.take(np.argsort(caption, kind="stable"))


def _reason_against(line: Mapping[str, Any], manifest: Mapping[str, Any], steps: set[int]) -> str | None:
    if (line["model"], line["version"]) != (manifest["name"], manifest["version"]):
        return OTHER_PROBE
    if line["step"] not in steps:
        return OTHER_STEP
    return NO_WEIGHT if line["weight"] is None else None


def _lines(paths: Sequence[Path], unused: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line with its place, checked. The last one of a file may be cut off: the service may be writing it."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: the service writes it where FEEDBACK_FILE names it")
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                if not text.endswith("\n") and number == text.count("\n") + 1:
                    unused[CUT_OFF] += 1
                    continue
                raise ValueError(f"{path}:{number} is not JSON: {error}") from None
            yield f"{path}:{number}", _checked(value, f"{path}:{number}")


def _checked(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected a JSON object, not {json.dumps(value)[:40]}")
    for name, (expected, fits) in FIELDS.items():
        if name not in value:
            raise ValueError(f"{place}: {name} is missing")
        if not fits(value[name]):
            raise ValueError(f"{place}: {name} is {json.dumps(value[name])[:40]}: expected {expected}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: Any) -> bool:
    return value is None or isinstance(value, str)


FIELDS = {
    "decided_at": ("a time as text", lambda value: isinstance(value, str)),
    "model": ("a name", lambda value: isinstance(value, str)),
    "version": ("a whole number", _is_whole),
    "step": ("a whole number", _is_whole),
    "sample": ("a text or null", _is_name),
    "group": ("a text or null", _is_name),
    "score": ("a finite number", _is_number),
    "quality": ("a finite number", _is_number),
    "weight": ("a number from 1, or null", lambda value: value is None or (_is_number(value) and value >= 1)),
    "good_at": ("a finite number", _is_number),
}
