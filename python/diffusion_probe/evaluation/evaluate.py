"""Evaluation of an exported probe on prompts it never saw, beside every baseline: report.json, report.md, plots, and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Collection, with_layers
from ..data.shards import read_split
from ..probe.manifest import Metric, read_manifest, to_json, write_manifest
from ..probe.onnx_probe import OnnxProbe
from . import baselines
from .calibrate import conformal_threshold
from .figures import CORRELATIONS, auc, best_of, bootstrap, mean_known, pairwise_accuracy, pooled, selection, spearman_within
from .plots import write_plots
from .report import markdown
from .scores import score_collection, write_scores

STEPS = (1, 5, 10, 15)
CANDIDATES = (4, 8, 16)
BAD_SHARES = (0.1, 0.2, 0.5)
ALPHAS = (0.01, 0.02, 0.05, 0.1)
REPEATS = 300
PROBE = "probe"
# What a baseline needs beyond attention and quality.
NEEDED_SIGNALS = {
    "attend_and_excite": "subject_mask",
    "focus": "subject_mask",
    "guidance_difference": "guidance_difference",
    "preview_quality": "preview_quality",
}
HEADLINE = ("srcc", "pcc", "ktc", "auc_20", "pairwise_accuracy", "gap_closed_8")


def evaluate(
    data: Path, folder: Path, split: str = "test", repeats: int = REPEATS, steps: Sequence[int] | None = None
) -> dict[str, Any]:
    """Score the split with the exported ONNX file, write the report into the probe's folder, and return it.

    `steps`: some of the collected ones; None takes those of `STEPS` that were collected, or all where none of them was. A prompt
    with a sample that the metric failed on is left out, since a choice among its samples cannot be judged.
    """
    probe = OnnxProbe(folder)
    layers = probe.manifest["capture"]["layers"]
    everything = with_layers(read_split(data, split), layers)
    collection = everything.scored().with_metric(Metric.from_dict(probe.manifest["metric"]))
    if collection.seeds < CANDIDATES[0]:
        raise ValueError(f"{collection.seeds} seeds per prompt: at least {CANDIDATES[0]} are needed to judge a choice among them")
    training = read_split(data, "train", ["quality", "guidance_difference"]).scored(samples=1)
    report: dict[str, Any] = {
        "split": split,
        "prompts": len(collection.prompts),
        "prompts_without_quality": len(everything.prompts) - len(collection.prompts),
        "seeds": collection.seeds,
        "not_compared": not_compared(collection),
        "quality": spread(collection.quality),
        "steps": {},
    }
    scores_of: dict[int, dict[str, np.ndarray]] = {}
    for step in steps_of(collection) if steps is None else steps:
        methods = {PROBE: score_collection(probe, collection, step), **baseline_scores(collection, training, step)}
        scores_of[step] = methods
        total = collection.description.capture.total_steps
        report["steps"][str(step)] = {
            "timestep": collection.description.points[collection.point_index(step)].timestep,
            "methods": {name: figures(scores, collection, repeats if name == PROBE else 0) for name, scores in methods.items()},
            "equal_compute": equal_compute(collection, step, total),
            "false_drop": false_drop(probe.manifest, step, methods[PROBE], collection),
        }
    (folder / "report.json").write_text(to_json(report))
    points = [point["step"] for point in probe.manifest["decision_points"]]
    known = {step: methods[PROBE] for step, methods in scores_of.items()}
    scores = {step: known[step] if step in known else score_collection(probe, collection, step) for step in points}
    write_scores(folder / f"{split}-scores.json", collection, scores)
    (folder / "report.md").write_text(markdown(probe.manifest, report))
    write_plots(folder, collection, scores_of, report)
    manifest = read_manifest(folder)
    manifest["evaluation"] = headline(report)
    write_manifest(folder, manifest)
    return report


def steps_of(collection: Collection) -> list[int]:
    """The steps of the report."""
    collected = [point.step for point in collection.description.points]
    return [step for step in STEPS if step in collected] or collected


def not_compared(collection: Collection) -> list[str]:
    """The baselines that need a signal which the data set does not hold."""
    return [name for name, field in NEEDED_SIGNALS.items() if field not in collection.arrays]


def baseline_scores(collection: Collection, training: Collection, step: int) -> dict[str, np.ndarray]:
    """The scores of every baseline at one step, by name."""
    scores_of: dict[str, Callable[[], np.ndarray]] = {
        "prompt_only": lambda: baselines.prompt_only(training.prompts, training.quality, collection),
        "true_prompt_mean": lambda: baselines.true_prompt_mean(collection),
        "attend_and_excite": lambda: baselines.attend_and_excite(collection, step),
        "focus": lambda: baselines.focus(collection, step),
        "guidance_difference": lambda: baselines.guidance_difference(collection, step, guidance_direction(training, step)),
        "preview_quality": lambda: baselines.preview_quality(collection, step),
        "oracle": lambda: collection.quality,
    }
    missing = not_compared(collection)
    return {name: scores() for name, scores in scores_of.items() if name not in missing}


def guidance_direction(training: Collection, step: int) -> float:
    """Whether a larger difference means a better image: 1 or -1, as the training prompts say."""
    known = training.per_prompt("guidance_difference", step)
    return 1.0 if mean_known(spearman_within(known, training.quality)) >= 0 else -1.0


def figures(scores: np.ndarray, collection: Collection, repeats: int) -> dict[str, Any]:
    """Every figure of one method, each {value, low, high}, without an interval where `repeats` is 0."""
    quality = collection.quality

    def measured(figure: Any) -> dict[str, float]:
        everything = np.arange(len(quality))
        result = {"value": float(figure(everything))}
        if repeats:
            result["low"], result["high"] = bootstrap(figure, len(quality), repeats)
        return {name: round(value, 4) for name, value in result.items()}

    report = {}
    for name in CORRELATIONS:
        report[name] = measured(lambda rows, name=name: pooled(scores[rows], quality[rows], name))
    for share in BAD_SHARES:
        report[f"auc_{share * 100:.0f}"] = measured(lambda rows, share=share: auc(scores[rows], quality[rows], share))
    within = spearman_within(scores, quality)
    pairs = pairwise_accuracy(scores, quality, collection.description.metric.range)
    report["spearman_within"] = measured(lambda rows: mean_known(within[rows]))
    report["pairwise_accuracy"] = measured(lambda rows: mean_known(pairs[rows]))
    for candidates in CANDIDATES:
        if candidates <= scores.shape[1]:
            chosen = selection(scores, quality, candidates)
            report[f"gap_closed_{candidates}"] = measured(lambda rows, chosen=chosen: gap_share(chosen[rows]))
    return report


def gap_share(chosen: np.ndarray) -> float:
    """Share of the oracle gap closed, from per-prompt [random, chosen, best]."""
    random, picked, best = chosen.mean(axis=0)
    return float((picked - random) / (best - random)) if best > random else float("nan")


def spread(quality: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, and the share of the variance that lies within prompts."""
    within = quality.var(axis=1, ddof=1).mean()
    total = quality.var()
    return {
        "mean": round(float(quality.mean()), 4),
        "std": round(float(quality.std()), 4),
        "within": round(float(within / total), 4),
    }


def equal_compute(collection: Collection, step: int, total_steps: int) -> dict[str, Any]:
    """What choosing one of N at this step costs in denoiser calls, and what full best-of-k closes for the same."""
    result = {}
    for candidates in CANDIDATES:
        if candidates <= collection.seeds:
            calls = candidates * step + (total_steps - step)
            finished = calls / total_steps
            result[str(candidates)] = {
                "calls": calls,
                "best_of": round(finished, 2),
                "gap_closed": round(best_of(collection.quality, candidates, finished), 4),
            }
    return result


def false_drop(manifest: dict[str, Any], step: int, scores: np.ndarray, collection: Collection) -> list[dict[str, Any]]:
    """Per alpha: the threshold from the calibration, and what it drops on this split."""
    entry = next((entry for entry in manifest["calibration"] if entry["step"] == step), None)
    if entry is None:
        return []
    good = collection.quality >= collection.description.metric.good_at
    rows = []
    for alpha in ALPHAS:
        threshold = conformal_threshold(np.asarray(entry["good_scores"]), alpha)
        dropped = np.zeros_like(good) if threshold is None else scores < threshold
        rows.append(
            {
                "alpha": alpha,
                "threshold": threshold,
                "false_drop": round(mean_known(dropped[good]), 4),
                "drop_rate": round(float(dropped.mean()), 4),
                "kept_quality": round(mean_known(collection.quality[~dropped]), 4),
            }
        )
    return rows


def headline(report: dict[str, Any]) -> dict[str, Any]:
    """What the manifest tells of the evaluation."""
    return {
        "split": report["split"],
        "prompts": report["prompts"],
        "seeds": report["seeds"],
        "steps": {
            step: {name: entry["methods"][PROBE][name]["value"] for name in HEADLINE if name in entry["methods"][PROBE]}
            for step, entry in report["steps"].items()
        },
    }
