"""The study `false-drop`: the false-drop rate that the policy `max_false_drop` allows, beside the one that it realises.

It applies the calibrated thresholds to the scores of the test captions. See docs/adr/0014-false-drop-study-in-python.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...probe.manifest import read_manifest, total_steps_of
from ..confidence import CONFIDENCE
from ..conformal import drop_figures, entry_at, threshold_of
from ..figures import bootstrap
from ..score_file import KnownSamples, read_scores
from ..text_table import text_table

SCORE_FILE = "test-scores.json"
REPEATS = 1000  # bootstrap resamples
COLUMNS = ("alpha", "good dropped", "95% interval", "all dropped", "steps saved", "quality kept", "at random")


def study_false_drop(
    folder: Path, steps: Sequence[int], alphas: Sequence[float], confidence: float | None = CONFIDENCE
) -> tuple[str, dict[str, Any]]:
    """The study of the probe in `folder`, as text for a terminal and as figures for JSON.

    `confidence`: that of the thresholds; None: they hold on average over calibrations.

    Raises FileNotFoundError for a missing file, and ValueError for an invalid one and for a step without scores or calibration.
    """
    manifest, samples = read_manifest(folder), read_scores(folder / SCORE_FILE)
    probe, total_steps = f"{manifest['name']}@{manifest['version']}", total_steps_of(manifest)
    good_share = round(float((samples.quality >= samples.good_at).mean()), 4)
    captions = "1 caption" if samples.captions == 1 else f"{samples.captions} captions"
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    for step in steps:
        calibrated = [entry["step"] for entry in manifest["calibration"]]
        for who, present in (("the probe is calibrated at", calibrated), (f"{SCORE_FILE} holds", samples.scores)):
            if step not in present:
                raise ValueError(f"--steps {step}: {who} the steps {', '.join(map(str, present))}")
        entry = entry_at(manifest, step)
        thresholds = [threshold_of(entry, alpha, confidence) for alpha in alphas]
        of_step = [study_row(samples, step, total_steps, *pair) for pair in zip(alphas, thresholds, strict=True)]
        rows += [{"probe": probe, "step": step, "confidence": confidence, **row} for row in of_step]
        texts.append(
            f"{len(samples.quality)} samples of {captions} that {probe} was neither trained nor calibrated on, at step {step} of "
            f"{total_steps}; {percent(good_share)} are good ({manifest['metric']['name']} of {samples.good_at:g} or more)"
        )
        texts += [study_table(of_step), uncalibrated_text(thresholds, alphas)]
    figures = {"rows": rows, "captions": samples.captions, "samples": len(samples.quality), "good_share": good_share}
    return "\n\n".join(filter(None, texts)), figures


def study_row(samples: KnownSamples, step: int, total_steps: int, alpha: float, threshold: float | None) -> dict[str, Any]:
    """What a threshold does at one step: shares 0 to 1 and qualities, rounded to 4 digits, None where they do not exist.

    `false_drop`: share of the good samples that are dropped, with its 95% `interval` by resampling captions; `drop_rate`: share
    of all samples; `steps_saved`: share of all denoising steps; `kept_quality`: mean quality of the kept samples;
    `random_kept_quality`: the same after dropping as many at random, which is the mean quality of all samples.
    """
    scores, quality = samples.scores[step], samples.quality
    figures = drop_figures(scores, quality, samples.good_at, threshold)
    known = {name: None if math.isnan(value) else value for name, value in figures.items()}
    good = quality >= samples.good_at
    dropped = scores < (-np.inf if threshold is None else threshold)
    lost_of, good_of = (np.bincount(samples.caption, weights=which) for which in (good & dropped, good))

    def rate(captions: np.ndarray) -> float:
        return lost_of[captions].sum() / good_of[captions].sum() if good_of[captions].any() else math.nan

    interval = [round(end, 4) for end in bootstrap(rate, samples.captions, REPEATS)]
    return {
        "alpha": alpha,
        "false_drop": known["false_drop"],
        "interval": None if math.isnan(interval[0]) else interval,
        "drop_rate": known["drop_rate"],
        "steps_saved": round(float(dropped.mean()) * (total_steps - step) / total_steps, 4),
        "kept_quality": known["kept_quality"],
        "random_kept_quality": round(float(quality.mean()), 4),
    }


def uncalibrated_text(thresholds: Sequence[float | None], alphas: Sequence[float]) -> str:
    """The alphas at which nothing is dropped, with the reason; empty where there are none."""
    without = [alpha for alpha, threshold in zip(alphas, thresholds, strict=True) if threshold is None]
    named = ", ".join(percent(alpha, 0) for alpha in without)
    return f"At {named} nothing is dropped: the calibration holds too few good samples for that." if named else ""


def study_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table; a figure that does not exist is a dash."""
    lines = [COLUMNS]
    for row in rows:
        interval = "-" if row["interval"] is None else " to ".join(map(percent, row["interval"]))
        kept = "-" if row["kept_quality"] is None else f"{row['kept_quality']:.3f}"
        dropped = percent(row["false_drop"]), interval, percent(row["drop_rate"]), percent(row["steps_saved"])
        lines.append((percent(row["alpha"], 0), *dropped, kept, f"{row['random_kept_quality']:.3f}"))
    return text_table(lines)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent. `digits` 0 keeps one digit where the share is not a whole percent, such as 0.025."""
    if share is None:
        return "-"
    return f"{100 * share:.{1 if abs(100 * share - round(100 * share)) > 1e-9 else digits}f}%"


def parse_confidence(text: str) -> float | None:
    """Parse a confidence, or `none`. Raises ValueError for one that the policy does not take."""
    if text == "none":
        return None
    try:
        confidence = float(text)
    except ValueError:
        confidence = math.nan
    if not 0.5 <= confidence <= 0.9999:
        raise ValueError(f"--confidence {text}: expected a number from 0.5 to 0.9999, or none")
    return confidence


def parse_alphas(text: str) -> list[float]:
    """Parse false-drop rates separated by commas. Raises ValueError for one that is not between 0 and 1."""
    try:
        alphas = [float(part) for part in text.split(",")]
    except ValueError:
        alphas = [math.nan]
    if not all(0 < alpha < 1 for alpha in alphas):
        raise ValueError(f"--alphas {text}: expected numbers between 0 and 1, separated by commas")
    return alphas
