"""Compares two probes on the samples that both have scored: differences of their figures, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..probe.manifest import Metric, read_manifest
from .correlations import pooled
from .figures import bootstrap, gap_share, mean_known, pairwise_accuracy, selection
from .score_file import KnownSamples, read_scores
from .text_table import markdown_table

CANDIDATES = (4, 8, 16)
REPEATS = 1000  # bootstrap resamples
QUALITY_TOLERANCE = 1e-4

Figure = Callable[[np.ndarray], float]
"""A figure of some prompts, given by their indices."""


def compare(folder: Path, against: Path, split: str = "test", repeats: int = REPEATS) -> list[dict[str, Any]]:
    """For each step and figure: the values of both probes, and their difference with its 95% interval.

    The scores are those that `evaluate` wrote beside each probe. Both figures are of the same resampled prompts, so the interval
    is of the paired difference. Raises FileNotFoundError without scores, and ValueError where they are of other samples.
    """
    own, other = (read_scores(each / f"{split}-scores.json") for each in (folder, against))
    metric_range = Metric.from_dict(read_manifest(folder)["metric"]).range
    if own.quality.shape != other.quality.shape or not np.allclose(own.quality, other.quality, atol=QUALITY_TOLERANCE):
        raise ValueError(f"the scores of {folder} and {against} are of different samples: evaluate both on one data set")
    steps = [step for step in own.scores if step in other.scores]
    if not steps:
        raise ValueError(f"the scores of {folder} and {against} have no step in common")
    quality = by_prompt(own, own.quality)
    rows = []
    for step in steps:
        figures = [
            figures_of(by_prompt(own, each.scores[step]), quality, metric_range or (quality.min(), quality.max()))
            for each in (own, other)
        ]
        for name, figure in figures[0].items():
            rows.append({"step": step, "figure": name, **paired(figure, figures[1][name], len(quality), repeats)})
    return rows


def figures_of(scores: np.ndarray, quality: np.ndarray, metric_range: tuple[float, float]) -> dict[str, Figure]:
    """The figures that are compared, of scores and quality [prompts, seeds]."""
    pairs = pairwise_accuracy(scores, quality, metric_range)
    figures: dict[str, Figure] = {
        "srcc": lambda prompts: pooled(scores[prompts], quality[prompts], "srcc"),
        "pairwise_accuracy": lambda prompts: mean_known(pairs[prompts]),
    }
    for candidates in CANDIDATES:
        if candidates <= quality.shape[1]:
            selected = selection(scores, quality, candidates)
            figures[f"gap_closed_{candidates}"] = lambda prompts, selected=selected: gap_share(selected[prompts])
    return figures


def paired(figure: Figure, other: Figure, prompts: int, repeats: int) -> dict[str, float]:
    """Both values, their difference, and the 95% interval of the difference over resampled prompts."""
    everything = np.arange(prompts)
    values = figure(everything), other(everything)
    low, high = bootstrap(lambda chosen: figure(chosen) - other(chosen), prompts, repeats)
    result = {"value": values[0], "against": values[1], "difference": values[0] - values[1], "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in result.items()}


def by_prompt(samples: KnownSamples, values: np.ndarray) -> np.ndarray:
    """Values [prompts, seeds]. Raises ValueError where prompts have different numbers of samples."""
    counts = np.bincount(samples.caption)
    if len(set(counts)) > 1:
        raise ValueError(f"prompts with {counts.min()} to {counts.max()} samples: expected as many for each")
    return values.reshape(samples.captions, -1)


def comparison_table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [["step", "figure", "probe", "against", "difference", "95% interval"]]
    for row in rows:
        values = f"{row['value']:.4f}", f"{row['against']:.4f}", f"{row['difference']:+.4f}"
        lines.append([str(row["step"]), row["figure"], *values, f"{row['low']:+.4f} to {row['high']:+.4f}"])
    return markdown_table(lines)
