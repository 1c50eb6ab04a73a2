"""The plots of an evaluation, as PNG files in the probe's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from .correlations import auc
from .scores import ScoredSplit

SHOWN = ("probe", "preview_quality", "guidance_difference", "attend_and_excite", "prompt_only")
SIZE = (6.4, 4.2)
MOST_CANDIDATES = 8


def write_plots(folder: Path, split: ScoredSplit, report: dict[str, Any]) -> None:
    """Write gap.png, auc.png, calibration.png and scatter.png."""
    _gap(folder / "gap.png", report)
    _auc(folder / "auc.png", split)
    _calibration(folder / "calibration.png", split)
    _scatter(folder / "scatter.png", split)


def _gap(path: Path, report: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=SIZE)
    steps = [int(step) for step in report["steps"]]
    candidates = max(int(count) for count in report["steps"][str(steps[0])]["equal_compute"] if int(count) <= MOST_CANDIDATES)
    for name in [name for name in SHOWN if name in report["steps"][str(steps[0])]["methods"]]:
        values = [report["steps"][str(step)]["methods"][name][f"gap_closed_{candidates}"] for step in steps]
        axes.plot(steps, [value["value"] for value in values], marker="o", label=name.replace("_", " "))
        if name == "probe":
            axes.fill_between(steps, [v["low"] for v in values], [v["high"] for v in values], alpha=0.2)
    same = [report["steps"][str(step)]["equal_compute"][str(candidates)]["gap_closed"] for step in steps]
    axes.plot(steps, same, color="black", linestyle=":", label="full best-of-k, same calls")
    axes.set(xlabel="step", ylabel=f"share of the oracle gap closed, {candidates} seeds", ylim=(-0.05, 1))
    _save(figure, axes, path)


def _auc(path: Path, split: ScoredSplit) -> None:
    figure, axes = plt.subplots(figsize=SIZE)
    shares = np.linspace(0.05, 0.6, 12)
    for step, methods in split.scores.items():
        areas = [auc(methods["probe"], split.quality, share) for share in shares]
        axes.plot(shares, areas, marker=".", label=f"step {step}")
    axes.set(xlabel="share of images that count as bad", ylabel="AUC-ROC of the probe", ylim=(0.5, 1))
    _save(figure, axes, path)


def _calibration(path: Path, split: ScoredSplit) -> None:
    figure, axes = plt.subplots(figsize=SIZE)
    low, high = split.metric_range
    for step, methods in split.scores.items():
        order = np.argsort(methods["probe"].ravel())
        bins = np.array_split(order, 15)
        predicted = [methods["probe"].ravel()[samples].mean() for samples in bins]
        actual = [split.quality.ravel()[samples].mean() for samples in bins]
        axes.plot(predicted, actual, marker=".", label=f"step {step}")
    axes.plot([low, high], [low, high], color="black", linestyle=":")
    axes.set(xlabel="score (fifteenths of the samples)", ylabel="mean quality")
    _save(figure, axes, path)


def _scatter(path: Path, split: ScoredSplit) -> None:
    figure, panels = plt.subplots(1, len(split.scores), figsize=(3 * len(split.scores), 3.2), sharey=True)
    for axes, (step, methods) in zip(np.atleast_1d(panels), split.scores.items(), strict=True):
        axes.hexbin(methods["probe"].ravel(), split.quality.ravel(), gridsize=30, bins="log", cmap="viridis")
        axes.set(xlabel=f"score at step {step}")
    np.atleast_1d(panels)[0].set_ylabel("quality")
    _write(figure, path)


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
