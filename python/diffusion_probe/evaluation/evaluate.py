"""The command `evaluate`: an exported probe on prompts that it was not trained on, beside every baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..probe.manifest import read_manifest, to_json, write_manifest
from ..probe.onnx_probe import OnnxProbe
from .conformal import drop_figures, entry_at, threshold_of
from .correlations import CORRELATIONS, auc, pooled, spearman_within
from .figures import best_of, bootstrap, gap_share, mean_known, pairwise_accuracy, selection
from .plots import write_plots
from .report import markdown
from .score_file import write_scores
from .scores import PROBE, ScoredSplit, score_split

CANDIDATES = (4, 8, 16)
BAD_SHARES = (0.1, 0.2, 0.5)
ALPHAS = (0.01, 0.02, 0.05, 0.1)
HEADLINE = ("srcc", "pcc", "ktc", "auc_20", "pairwise_accuracy", "gap_closed_8", "gap_closed_16")
TRAINING = ("kept", "training_prompts")  # what `export` says about the training
REPEATS = 300


def evaluate(
    data: Path, folder: Path, split: str = "test", repeats: int = REPEATS, steps: Sequence[int] | None = None
) -> dict[str, Any]:
    """Score a split with the probe in `folder`, write the evaluation into that folder, and return the report.

    Writes report.json, report.md, plots and `{split}-scores.json`, and the headline into probe.json. `steps`: see `score_split`.
    A prompt with a sample that the metric failed on does not count, since a choice among its samples cannot be evaluated.
    """
    probe = OnnxProbe(folder)
    scored = score_split(probe, data, split, steps, min_seeds=CANDIDATES[0])
    training = {name: probe.manifest["evaluation"].get(name) for name in TRAINING}
    report = {**training, **build_report(scored, probe.manifest, repeats)}
    (folder / "report.json").write_text(to_json(report))
    (folder / "report.md").write_text(markdown(probe.manifest, report))
    write_scores(folder / f"{split}-scores.json", scored.prompts, scored.good_at, scored.quality, scored.probe_scores)
    write_plots(folder, scored, report)
    manifest = read_manifest(folder)
    manifest["evaluation"] = {**training, **headline(report)}
    write_manifest(folder, manifest)
    return report


def build_report(split: ScoredSplit, manifest: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """The figures of every method at every step, with 95% intervals from `repeats` bootstrap resamples.

    Every figure of the probe has one; of the other methods those of a choice among candidates, which it is compared by.
    """
    return {
        "split": split.name,
        "prompts": len(split.prompts),
        "prompts_without_quality": split.prompts_without_quality,
        "seeds": split.quality.shape[1],
        "not_compared": split.not_compared,
        "quality": quality_spread(split.quality),
        "steps": {
            str(step): {
                "timestep": split.timesteps[step],
                "methods": {
                    name: method_figures(scores, split.quality, split.metric_range, repeats, every=name == PROBE)
                    for name, scores in methods.items()
                },
                "equal_compute": equal_compute(split.quality, step, split.total_steps),
                "false_drop": false_drop(entry_at(manifest, step), methods[PROBE], split.quality, split.good_at),
            }
            for step, methods in split.scores.items()
        },
    }


def method_figures(
    scores: np.ndarray, quality: np.ndarray, metric_range: tuple[float, float], repeats: int, every: bool
) -> dict[str, dict[str, float]]:
    """Every figure of one method, each {value, low, high}; unless `every`, only the gap closed has an interval."""

    def measured(figure: Callable[[np.ndarray], float], interval: bool = every) -> dict[str, float]:
        result = {"value": float(figure(np.arange(len(quality))))}
        if interval:
            result["low"], result["high"] = bootstrap(figure, len(quality), repeats)
        return {name: round(value, 4) for name, value in result.items()}

    report = {}
    for name in CORRELATIONS:
        report[name] = measured(lambda prompts, name=name: pooled(scores[prompts], quality[prompts], name))
    for share in BAD_SHARES:
        report[f"auc_{share * 100:.0f}"] = measured(lambda prompts, share=share: auc(scores[prompts], quality[prompts], share))
    within = spearman_within(scores, quality)
    pairs = pairwise_accuracy(scores, quality, metric_range)
    report["spearman_within"] = measured(lambda prompts: mean_known(within[prompts]))
    report["pairwise_accuracy"] = measured(lambda prompts: mean_known(pairs[prompts]))
    for candidates in CANDIDATES:
        if candidates <= scores.shape[1]:
            selected = selection(scores, quality, candidates)
            report[f"gap_closed_{candidates}"] = measured(lambda prompts, selected=selected: gap_share(selected[prompts]), True)
    return report


def quality_spread(quality: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, and the share of the variance that lies within prompts."""
    within = quality.var(axis=1, ddof=1).mean() / quality.var()
    figures = {"mean": quality.mean(), "std": quality.std(), "within": within}
    return {name: round(float(value), 4) for name, value in figures.items()}


def equal_compute(quality: np.ndarray, step: int, total_steps: int) -> dict[str, dict[str, float]]:
    """What choosing one of N at this step costs in denoiser calls, and what full best-of-k closes for the same."""
    result = {}
    for candidates in CANDIDATES:
        if candidates <= quality.shape[1]:
            calls = candidates * step + (total_steps - step)
            finished = calls / total_steps
            result[str(candidates)] = {
                "calls": calls,
                "best_of": round(finished, 2),
                "gap_closed": round(best_of(quality, candidates, finished), 4),
            }
    return result


def false_drop(entry: Mapping[str, Any] | None, scores: np.ndarray, quality: np.ndarray, good_at: float) -> list[dict[str, Any]]:
    """Per alpha: the threshold from the calibration entry, and what it drops on this split. Empty without a calibration."""
    rows = []
    for alpha in ALPHAS if entry is not None else ():
        threshold = threshold_of(entry, alpha)
        rows.append({"alpha": alpha, "threshold": threshold, **drop_figures(scores, quality, good_at, threshold)})
    return rows


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the report that the probe's manifest repeats."""
    figures = {step: entry["methods"][PROBE] for step, entry in report["steps"].items()}
    steps = {step: {name: own[name]["value"] for name in HEADLINE if name in own} for step, own in figures.items()}
    return {"split": report["split"], "prompts": report["prompts"], "seeds": report["seeds"], "steps": steps}
