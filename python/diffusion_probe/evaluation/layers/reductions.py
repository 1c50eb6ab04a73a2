"""Compares ways to reduce attention to maps by their signal within prompts, as `study attention` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compare import paired
from ..figures import mean_known
from ..text_table import text_table
from .signal import FOLDS, MIN_PROMPTS, MIN_SEEDS, correlations_by_prompt

DEFAULT = "as captured"
ALL_HEADS, STRONGEST_HEADS = "every head by itself, mean of all", "every head by itself, mean of the stronger half"


@dataclass(frozen=True)
class ReducedSignals:
    """The signals of one reduction: Spearman correlations of held-out prompts, -1 to 1."""

    by_prompt: np.ndarray  # float64 [steps, prompts], nan where a prompt's qualities or predictions are constant

    def mean(self, prompts: np.ndarray) -> float:
        """The mean over steps and some prompts."""
        return mean_known(self.by_prompt[:, prompts])

    @property
    def by_step(self) -> list[float]:
        """The mean over prompts of each step."""
        return [mean_known(step) for step in self.by_prompt]


def compare_reductions(
    features: Mapping[str, np.ndarray], heads: np.ndarray | None, quality: np.ndarray, seed: int = 0
) -> dict[str, ReducedSignals]:
    """The signals of each reduction on the same images, predicted from the summaries of all layers together.

    `features`: summaries by reduction, float32 [layers, steps, prompts, seeds, f]; DEFAULT is among them. `heads`: those of each
    head, float32 [layers, heads, steps, prompts, seeds, f], or None. `quality`: float32 [prompts, seeds]. The stronger half of a
    layer's heads is chosen on one half of the prompts and judged on the other half, then the other way round. Raises ValueError
    for fewer than MIN_PROMPTS prompts or MIN_SEEDS images per prompt.
    """
    prompts, seeds = quality.shape
    if prompts < MIN_PROMPTS or seeds < MIN_SEEDS:
        raise ValueError(f"{prompts} prompts of {seeds} images: expected at least {MIN_PROMPTS} of {MIN_SEEDS}")
    folds = np.random.default_rng(seed).permutation(prompts) % FOLDS
    found = {name: _signals(own, quality, folds) for name, own in features.items()}
    if heads is not None:
        found[ALL_HEADS] = _signals(heads.mean(axis=1), quality, folds)
        found[STRONGEST_HEADS] = _strongest_heads(heads, quality, folds)
    return found


def _signals(features: np.ndarray, quality: np.ndarray, folds: np.ndarray) -> ReducedSignals:
    """`features`: [layers, steps, prompts, seeds, f]."""
    target = quality[..., None].astype(np.float64)
    joined = np.concatenate(list(features), axis=-1)
    return ReducedSignals(np.array([correlations_by_prompt(step, target, folds)[0] for step in joined]))


def _strongest_heads(heads: np.ndarray, quality: np.ndarray, folds: np.ndarray) -> ReducedSignals:
    by_prompt = np.zeros(heads.shape[2:4])
    halves = np.arange(len(quality)) % 2
    for half in (0, 1):
        chosen_on, judged = halves != half, halves == half
        kept = []
        for layer in heads:
            signals = [_signals(head[None][:, :, chosen_on], quality[chosen_on], folds[chosen_on]) for head in layer]
            order = np.argsort([-mean_known(signal.by_prompt) for signal in signals], kind="stable")
            kept.append(layer[order[: max(1, len(layer) // 2)]].mean(axis=0))
        # Fitted on all prompts but those of the fold, as every other reduction.
        by_prompt[:, judged] = _signals(np.array(kept), quality, folds).by_prompt[:, judged]
    return ReducedSignals(by_prompt)


def reduction_rows(signals: Mapping[str, ReducedSignals], steps: tuple[int, ...], repeats: int = 500) -> list[dict[str, Any]]:
    """A row per reduction: its signal, by step too, and the difference to DEFAULT with a 95% bootstrap interval over prompts."""
    default = signals[DEFAULT]
    prompts = default.by_prompt.shape[-1]
    rows = []
    for name, own in signals.items():
        figures = paired(own.mean, default.mean, prompts, repeats)
        by_step = {str(step): round(signal, 4) for step, signal in zip(steps, own.by_step, strict=True)}
        row = {key: figures[key] for key in ("difference", "low", "high")}
        rows.append({"reduction": name, "signal": figures["value"], **row, "by_step": by_step})
    return rows


def reductions_text(rows: list[dict[str, Any]], prompts: int, seeds: int) -> str:
    """The rows as a table for a terminal."""
    steps = list(rows[0]["by_step"])
    lines = [("reduction", "signal", *(f"step {step}" for step in steps), "difference", "95% interval")]
    for row in rows:
        interval = "" if row["reduction"] == DEFAULT else f"{row['low']:+.3f} to {row['high']:+.3f}"
        difference = "" if row["reduction"] == DEFAULT else f"{row['difference']:+.3f}"
        by_step = (f"{signal:.3f}" for signal in row["by_step"].values())
        lines.append((row["reduction"], f"{row['signal']:.3f}", *by_step, difference, interval))
    head = f"Signal within prompts (mean Spearman correlation on held-out prompts), {prompts} x {seeds} images"
    return f"{head}\n\n{text_table(lines)}"
