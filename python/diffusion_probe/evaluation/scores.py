"""Scores of a split by an exported probe and by its baselines, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.dataset import Collection, with_layers
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..probe.manifest import Metric
from ..probe.onnx_probe import OnnxProbe
from ..progress import Progress
from . import baselines

BATCH_SAMPLES = 64
MAPS_SAMPLES = 256  # samples whose maps are read at a time
STEPS = (1, 5, 10, 15)
PROBE = "probe"
# What a baseline needs beyond attention and quality.
NEEDED_FIELDS = {
    "attend_and_excite": "subject_mask",
    "focus": "subject_mask",
    "guidance_difference": "guidance_difference",
    "preview_quality": "preview_quality",
}


@dataclass(frozen=True)
class ScoredSplit:
    """Scores and qualities of the prompts of a split whose qualities are all known. Each array is [prompts, seeds]."""

    name: str
    prompts: list[str]
    prompts_without_quality: int
    not_compared: list[str]  # baselines that need a field which the data set does not hold
    quality: np.ndarray
    metric_range: tuple[float, float]
    good_at: float
    total_steps: int
    timesteps: dict[int, float]  # by step
    scores: dict[int, dict[str, np.ndarray]]  # by step and method
    probe_scores: dict[int, np.ndarray]  # by decision point of the probe


def score_collection(probe: OnnxProbe, collection: Collection, step: int) -> np.ndarray:
    """Scores of all samples of a split at one step: float32 [prompts, seeds]."""
    parts = []
    for start in Progress(f"score step {step}", 0, -(-len(collection.arrays["quality"]) // BATCH_SAMPLES), unit="batch"):
        samples = slice(start * BATCH_SAMPLES, (start + 1) * BATCH_SAMPLES)
        parts.append(probe.score(probe_inputs(collection, step, samples)))
    return np.concatenate(parts).reshape(collection.quality.shape)


def score_split(probe: OnnxProbe, data: Path, split: str, steps: Sequence[int] | None, min_seeds: int) -> ScoredSplit:
    """Score a split of a data set with the probe and every baseline.

    `steps`: some of the collected ones; None takes those of `STEPS` that were collected, or all where none of them was. Raises
    ValueError for a split with fewer than `min_seeds` samples per prompt, and for a step that was not collected.
    """
    everything = with_layers(read_split(data, split), probe.manifest["capture"]["layers"])
    collection = everything.with_quality()
    if collection.seeds < min_seeds:
        raise ValueError(f"{collection.seeds} seeds per prompt: at least {min_seeds} are needed to evaluate a choice among them")
    training = read_split(data, "train", ["quality", "guidance_difference"]).with_quality(min_samples=1)
    timesteps = {point.step: point.timestep for point in collection.description.points}
    chosen = list(steps or [step for step in STEPS if step in timesteps] or timesteps)
    decision_points = [point["step"] for point in probe.manifest["decision_points"]]
    by_probe = {step: score_collection(probe, collection, step) for step in dict.fromkeys([*chosen, *decision_points])}
    metric = Metric.from_dict(probe.manifest["metric"])
    return ScoredSplit(
        name=split,
        prompts=collection.prompts,
        prompts_without_quality=len(everything.prompts) - len(collection.prompts),
        not_compared=[name for name, field in NEEDED_FIELDS.items() if field not in collection.arrays],
        quality=collection.quality,
        metric_range=metric.range,
        good_at=metric.good_at,
        total_steps=collection.description.total_steps,
        timesteps=timesteps,
        scores={step: {PROBE: by_probe[step], **baseline_scores(collection, training, step)} for step in chosen},
        probe_scores={step: by_probe[step] for step in decision_points},
    )


def baseline_scores(collection: Collection, training: Collection, step: int) -> dict[str, np.ndarray]:
    """The scores of every baseline at one step that the data set allows, by name, each [prompts, seeds]."""
    arrays, quality = collection.arrays, collection.quality
    predicted = baselines.prompt_only(training.prompts, training.quality, collection.prompts)
    scores = {
        "prompt_only": np.repeat(predicted[:, None], collection.seeds, axis=1),
        "true_prompt_mean": np.repeat(quality.mean(axis=1, keepdims=True), collection.seeds, axis=1),
    }
    if "subject_mask" in arrays:
        attention, point = arrays["attention"], collection.point_index(step)
        starts = range(0, len(attention), MAPS_SAMPLES)
        parts = [attention[start : start + MAPS_SAMPLES, point].mean(axis=1, dtype=np.float32) for start in starts]
        maps = np.concatenate(parts)  # [n, tokens, height, width], averaged over layers
        excited = baselines.attend_and_excite(maps, arrays["token_mask"], arrays["subject_mask"])
        scores["attend_and_excite"] = excited.reshape(quality.shape)
        scores["focus"] = baselines.focus(maps, arrays["subject_mask"]).reshape(quality.shape)
    if "guidance_difference" in arrays:
        direction = baselines.guidance_direction(training.at_step("guidance_difference", step), training.quality)
        scores["guidance_difference"] = direction * collection.at_step("guidance_difference", step)
    if "preview_quality" in arrays:
        scores["preview_quality"] = collection.at_step("preview_quality", step)
    return {**scores, "oracle": quality}
