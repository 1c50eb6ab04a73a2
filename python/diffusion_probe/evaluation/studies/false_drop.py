"""The study `false-drop`: the false-drop rate that the policy `max_false_drop` allows, beside the one that it realises.

It applies the calibrated thresholds to the scores of the test captions. See docs/adr/0060-false-drop-study-in-python.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...probe.manifest import read_manifest
from ..conformal import conformal_threshold, drop_figures, good_scores_at
from ..figures import bootstrap
from ..score_file import KnownSamples, read_scores

SCORE_FILE = "test-scores.json"
REPEATS = 1000  # bootstrap resamples
COLUMNS = ("alpha", "good dropped", "95% interval", "all dropped", "steps saved", "quality kept", "at random")


@dataclass(frozen=True)
class StudyRow:
    """One alpha at one step. Shares are 0 to 1, rounded to 4 digits; None where there is nothing to take a share or mean of."""

    probe: str  # name@version
    step: int
    alpha: float
    false_drop: float | None  # share of the good samples that are dropped
    interval: tuple[float, float] | None  # 95% of false_drop, by resampling captions
    drop_rate: float  # share of all samples that are dropped
    steps_saved: float  # share of all denoising steps that dropping saves
    kept_quality: float | None  # mean quality of the samples that are kept
    random_kept_quality: float  # the same after dropping as many at random: the mean quality of all samples


@dataclass(frozen=True)
class FalseDropStudy:
    """The rows, and what the text says about the probe and its samples."""

    rows: list[StudyRow]
    captions: int
    samples: int
    good_share: float  # 0 to 1, rounded to 4 digits
    metric: str
    good_at: float
    total_steps: int
    good_scores: dict[int, int]  # by step: good calibration samples
    uncalibrated: dict[int, list[float]]  # by step: alphas for which those are too few

    def to_json(self) -> str:
        """One line of JSON."""
        fields = {"rows": [asdict(row) for row in self.rows], "captions": self.captions, "samples": self.samples}
        return json.dumps({**fields, "good_share": self.good_share})


def study_false_drop(folder: Path, steps: Sequence[int], alphas: Sequence[float]) -> FalseDropStudy:
    """Study the probe in `folder`. Raises FileNotFoundError and ValueError for a missing file and a step without scores."""
    manifest, samples = read_manifest(folder), read_scores(folder / SCORE_FILE)
    probe, total_steps = f"{manifest['name']}@{manifest['version']}", manifest["capture"]["total_steps"]
    good_scores: dict[int, np.ndarray] = {}
    for step in steps:
        good = good_scores_at(manifest, step)
        if good is None:
            calibrated = ", ".join(str(entry["step"]) for entry in manifest["calibration"])
            raise ValueError(f"--steps {step}: the probe is calibrated at the steps {calibrated}")
        if step not in samples.scores:
            raise ValueError(f"--steps {step}: {SCORE_FILE} holds the steps {', '.join(map(str, samples.scores))}")
        good_scores[step] = good
    return FalseDropStudy(
        rows=[study_row(probe, samples, step, total_steps, good_scores[step], alpha) for step in steps for alpha in alphas],
        captions=samples.captions,
        samples=len(samples.quality),
        good_share=round(float((samples.quality >= samples.good_at).mean()), 4),
        metric=manifest["metric"]["name"],
        good_at=samples.good_at,
        total_steps=total_steps,
        good_scores={step: len(good) for step, good in good_scores.items()},
        uncalibrated={step: uncalibrated_alphas(good, alphas) for step, good in good_scores.items()},
    )


def study_row(probe: str, samples: KnownSamples, step: int, total_steps: int, good_scores: np.ndarray, alpha: float) -> StudyRow:
    """What the policy does at one step with one alpha."""
    scores, quality = samples.scores[step], samples.quality
    threshold = conformal_threshold(good_scores, alpha)
    figures = {name: known(value) for name, value in drop_figures(scores, quality, samples.good_at, threshold).items()}
    good = quality >= samples.good_at
    dropped = np.zeros(len(scores), bool) if threshold is None else scores < threshold
    counts = np.stack([np.bincount(samples.caption, weights=which) for which in (good & dropped, good)], axis=1)

    def rate(captions: np.ndarray) -> float:
        lost, of = counts[captions].sum(axis=0)
        return lost / of if of else math.nan

    low, high = (known(round(end, 4)) for end in bootstrap(rate, samples.captions, REPEATS))
    return StudyRow(
        probe=probe,
        step=step,
        alpha=alpha,
        interval=None if low is None or high is None else (low, high),
        steps_saved=round(float(dropped.mean()) * (total_steps - step) / total_steps, 4),
        random_kept_quality=round(float(quality.mean()), 4),
        **figures,
    )


def uncalibrated_alphas(good_scores: np.ndarray, alphas: Sequence[float]) -> list[float]:
    """The alphas for which the calibration holds too few good samples."""
    return [alpha for alpha in alphas if conformal_threshold(good_scores, alpha) is None]


def study_text(study: FalseDropStudy) -> str:
    """Per step a sentence, the table, and the alphas at which nothing is dropped."""
    parts: list[str] = []
    for step, alphas in study.uncalibrated.items():
        rows = [row for row in study.rows if row.step == step]
        parts += [samples_text(study, rows[0].probe, step), text_table(rows)]
        if alphas:
            named = ", ".join(percent(alpha, 0) for alpha in alphas)
            reason = f"the calibration holds too few good samples for that, {study.good_scores[step]}"
            parts.append(f"At {named} nothing is dropped: {reason}.")
    return "\n\n".join(parts)


def samples_text(study: FalseDropStudy, probe: str, step: int) -> str:
    """What was studied, in one sentence."""
    captions = "1 caption" if study.captions == 1 else f"{study.captions} captions"
    return (
        f"{study.samples} samples of {captions} that {probe} was neither trained nor calibrated on, at step {step} of "
        f"{study.total_steps}; {percent(study.good_share)} are good ({study.metric} of {study.good_at:g} or more)"
    )


def text_table(rows: Sequence[StudyRow]) -> str:
    """Right-aligned columns under a head."""
    lines = [COLUMNS, *(cells(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def cells(row: StudyRow) -> tuple[str, ...]:
    """The texts of one line of the table."""
    return (
        percent(row.alpha, 0),
        percent(row.false_drop),
        "-" if row.interval is None else f"{percent(row.interval[0])} to {percent(row.interval[1])}",
        percent(row.drop_rate),
        percent(row.steps_saved),
        "-" if row.kept_quality is None else f"{row.kept_quality:.3f}",
        f"{row.random_kept_quality:.3f}",
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent. Without digits, one digit is kept where it is needed, such as for 0.025."""
    if share is None:
        return "-"
    return f"{100 * share:.{1 if abs(100 * share - round(100 * share)) > 1e-9 else digits}f}%"


def parse_alphas(text: str) -> list[float]:
    """Parse false-drop rates separated by commas. Raises ValueError for one that is not between 0 and 1."""
    try:
        alphas = [float(part) for part in text.split(",")]
    except ValueError:
        alphas = []
    if not alphas or not all(0 < alpha < 1 for alpha in alphas):
        raise ValueError(f"--alphas {text}: expected numbers between 0 and 1, separated by commas")
    return alphas


def known(value: Any) -> Any:
    """None for nan."""
    return None if math.isnan(value) else value
