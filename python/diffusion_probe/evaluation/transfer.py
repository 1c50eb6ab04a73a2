"""The study `transfer`: what a probe loses under other conditions than its own, and what a new calibration brings back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..conditions.differences import differences
from ..data.dataset import Collection, with_layers
from ..data.shards import read_split
from ..probe.onnx_probe import OnnxProbe
from .calibrate import CalibrationSamples, calibration_entry
from .conformal import entry_at, threshold_of
from .correlations import pooled, spearman_within
from .figures import bootstrap, gap_share, mean_known, selection
from .recalibration.comparison import applied
from .scores import score_collection
from .text_table import text_table

DRAWS = 50  # of the samples that a new calibration is made from
REPEATS = 300  # bootstrap resamples
SAME = "nothing"
DIGITS = 4


@dataclass(frozen=True)
class CalibrationFigures:
    """What a calibration does at some alpha: shares 0 to 1, None where they cannot be known."""

    false_drop: float | None
    drop_rate: float | None
    calibration_error: float | None
    calibrated: float  # share of the draws in which it has a threshold


def study_transfer(
    probe_folder: Path, data: Sequence[Path], step: int, alpha: float, feedbacks: Sequence[int], split: str = "test"
) -> tuple[str, list[dict[str, Any]]]:
    """The study of a probe on data sets that were collected under other conditions; text and a row per data set.

    The first data set is what the losses are measured against: give one of the probe's own conditions. A probe's step is compared
    with the collected step of the nearest timestep. `feedbacks`: how many samples a new calibration is made from. Raises
    ValueError for a step without a decision point and for a data set of another capture or metric.
    """
    probe = OnnxProbe(probe_folder)
    manifest = probe.manifest
    point = next((point for point in manifest["decision_points"] if point["step"] == step), None)
    if point is None:
        points = ", ".join(str(point["step"]) for point in manifest["decision_points"])
        raise ValueError(f"--step {step}: the decision points are {points}")
    rows: list[dict[str, Any]] = []
    for folder in data:
        collection = _matching(folder, split, manifest)
        nearest = min(collection.description.points, key=lambda own: abs(own.timestep - point["timestep"]))
        scores = score_collection(probe, collection, nearest.step)
        row = transfer_figures(
            scores, collection.quality, entry_at(manifest, step), manifest["metric"]["good_at"], alpha, feedbacks
        )
        changed = differences(collection.description.conditions, manifest.get("conditions") or {})
        own = {"data": str(folder), "differs": sorted(changed), "step": nearest.step, "timestep": nearest.timestep}
        steps = {"total_steps": collection.description.total_steps, "prompts": len(collection.prompts), "seeds": collection.seeds}
        first = rows[0] if rows else row
        lost = {f"{name}_lost": round(first[name] - row[name], DIGITS) for name in ("srcc", "srcc_within", "gap_closed")}
        rows.append({**own, **steps, **row, **lost})
    return _text(rows, manifest, step, alpha), rows


def _matching(folder: Path, split: str, manifest: Mapping[str, Any]) -> Collection:
    collection = with_layers(read_split(folder, split), manifest["capture"]["layers"]).with_quality()
    description = collection.description
    if description.capture.capture_id != manifest["capture_id"]:
        raise ValueError(f"the maps of {folder} are of another capture than the probe's: collect them with its layers and grid")
    if description.metric.name != manifest["metric"]["name"]:
        raise ValueError(f"the qualities of {folder} are {description.metric.name}, the probe's {manifest['metric']['name']}")
    return collection


def transfer_figures(
    scores: np.ndarray,
    quality: np.ndarray,
    entry: Mapping[str, Any] | None,
    good_at: float,
    alpha: float,
    feedbacks: Sequence[int],
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Figures of scores and qualities [prompts, seeds] under other conditions than those of the calibration `entry`.

    `srcc`: pooled; `srcc_within`: mean over prompts; `gap_closed`: share of the oracle gap closed with all seeds; each with a 95%
    interval over prompts. `calibrations`: `own`, and per number of feedbacks a new calibration, as the mean over `draws` random
    draws of whole prompts with so many samples, judged on the other prompts. A calibration does not change any rank.
    """
    prompts, seeds = quality.shape
    within, selected = spearman_within(scores, quality), selection(scores, quality)
    by_prompts = {
        "srcc": lambda chosen: pooled(scores[chosen], quality[chosen], "srcc"),
        "srcc_within": lambda chosen: mean_known(within[chosen]),
        "gap_closed": lambda chosen: gap_share(selected[chosen]),
    }
    figures: dict[str, Any] = {}
    for name, figure in by_prompts.items():
        figures[name] = round(figure(np.arange(prompts)), DIGITS)
        figures[f"{name}_low"], figures[f"{name}_high"] = (round(end, DIGITS) for end in bootstrap(figure, prompts, REPEATS))

    def samples(chosen: np.ndarray) -> CalibrationSamples:
        flat = (values[chosen].ravel() for values in (scores, quality))
        return CalibrationSamples(np.repeat(np.arange(len(chosen)), seeds), *flat, np.ones(len(chosen) * seeds))

    rng = np.random.default_rng(0)
    calibrations = {"own": _mean([_figures(entry, samples(np.arange(prompts)), good_at, alpha)])}
    for count in feedbacks:
        taken = -(-count // seeds)
        if taken >= prompts:
            calibrations[str(count)] = None
            continue
        drawn = []
        for _ in range(draws):
            order = rng.permutation(prompts)
            new = calibration_entry(0, samples(order[:taken]), good_at)
            drawn.append(_figures(new, samples(order[taken:]), good_at, alpha))
        calibrations[str(count)] = _mean(drawn)
    return {**figures, "calibrations": {name: value and vars(value) for name, value in calibrations.items()}}


def _figures(
    entry: Mapping[str, Any] | None, samples: CalibrationSamples, good_at: float, alpha: float
) -> tuple[float | None, float | None, float | None, float]:
    threshold = None if entry is None else threshold_of(entry, alpha)
    judged = applied([(entry, samples)], good_at, alpha, threshold, intervals=False)
    return judged.false_drop, judged.drop_rate, judged.calibration_error, float(threshold is not None)


def _mean(drawn: Sequence[tuple[float | None, ...]]) -> CalibrationFigures:
    columns = [[value for value in column if value is not None] for column in zip(*drawn, strict=True)]
    means = [round(float(np.mean(column)), DIGITS) if column else None for column in columns]
    return CalibrationFigures(*means[:3], calibrated=means[3] or 0.0)


def _text(rows: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], step: int, alpha: float) -> str:
    names = list(rows[0]["calibrations"])
    head = ["data", "step", "SRCC", "lost", "within", "lost", "gap", "lost"]
    lines: list[Sequence[str]] = [
        [*head, *(f"{what}, {name}" for name in names for what in ("good dropped", "dropped", "error"))]
    ]
    for row in rows:
        cells = [row["data"], f"{row['step']} of {row['total_steps']}"]
        for name in ("srcc", "srcc_within", "gap_closed"):
            cells += [f"{row[name]:.3f}", f"{row[f'{name}_lost']:+.3f}"]
        for name in names:
            own = row["calibrations"][name] or {"false_drop": None, "drop_rate": None, "calibration_error": None}
            cells += [_cell(own["false_drop"]), _cell(own["drop_rate"]), _cell(own["calibration_error"])]
        lines.append(cells)
    head_text = (
        f"{manifest['name']}@{manifest['version']} at step {step}, alpha {alpha:g}. Lost: against the first data set. Own: with "
        "the probe's calibration; a number: with a new one from so many samples, judged on other prompts, mean over draws."
    )
    differs = "\n".join(f"{row['data']} differs in {', '.join(row['differs']) or SAME}" for row in rows)
    return "\n\n".join([head_text, text_table(lines), differs])


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
