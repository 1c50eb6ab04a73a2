"""The plots of an evaluation, as PNG files in the probe's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from .correlations import auc
from .scores import PROBE, ScoredSplit

SHOWN = (PROBE, "preview_quality", "guidance_difference", "attend_and_excite", "prompt_only")
SIZE = (6.4, 4.2)
MOST_CANDIDATES = 8


def write_plots(folder: Path, split: ScoredSplit, report: dict[str, Any]) -> None:
    """Write gap.png, auc.png, calibration.png and scatter.png."""
    for name, draw in {"gap": _gap, "auc": _auc, "calibration": _calibration}.items():
        figure, axes = plt.subplots(figsize=SIZE)
        draw(axes, split, report)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        _save(figure, folder / f"{name}.png")
    figure, panels = plt.subplots(1, len(split.scores), figsize=(3 * len(split.scores), 3.2), sharey=True)
    for axes, (step, methods) in zip(np.atleast_1d(panels), split.scores.items(), strict=True):
        axes.hexbin(methods[PROBE].ravel(), split.quality.ravel(), gridsize=30, bins="log", cmap="viridis")
        axes.set(xlabel=f"score at step {step}")
    np.atleast_1d(panels)[0].set_ylabel("quality")
    _save(figure, folder / "scatter.png")


def _gap(axes: Any, split: ScoredSplit, report: dict[str, Any]) -> None:
    steps, entries = list(split.scores), list(report["steps"].values())
    candidates = max(int(count) for count in entries[0]["equal_compute"] if int(count) <= MOST_CANDIDATES)
    for name in [name for name in SHOWN if name in entries[0]["methods"]]:
        values = [entry["methods"][name][f"gap_closed_{candidates}"] for entry in entries]
        axes.plot(steps, [value["value"] for value in values], marker="o", label=name.replace("_", " "))
        if name == PROBE:
            axes.fill_between(steps, [value["low"] for value in values], [value["high"] for value in values], alpha=0.2)
    same_calls = [entry["equal_compute"][str(candidates)]["gap_closed"] for entry in entries]
    axes.plot(steps, same_calls, color="black", linestyle=":", label="full best-of-k, same calls")
    axes.set(xlabel="step", ylabel=f"share of the oracle gap closed, {candidates} seeds", ylim=(-0.05, 1))


def _auc(axes: Any, split: ScoredSplit, report: dict[str, Any]) -> None:
    shares = np.linspace(0.05, 0.6, 12)
    for step, methods in split.scores.items():
        areas = [auc(methods[PROBE], split.quality, share) for share in shares]
        axes.plot(shares, areas, marker=".", label=f"step {step}")
    axes.set(xlabel="share of images that count as bad", ylabel="AUC-ROC of the probe", ylim=(0.5, 1))


def _calibration(axes: Any, split: ScoredSplit, report: dict[str, Any]) -> None:
    quality = split.quality.ravel()
    for step, methods in split.scores.items():
        scores = methods[PROBE].ravel()
        bins = np.array_split(np.argsort(scores), 15)
        axes.plot([scores[own].mean() for own in bins], [quality[own].mean() for own in bins], marker=".", label=f"step {step}")
    axes.plot(split.metric_range, split.metric_range, color="black", linestyle=":")
    axes.set(xlabel="score (fifteenths of the samples)", ylabel="mean quality")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
