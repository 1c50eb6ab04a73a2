"""Made-up probes, with the files that calibrate and evaluate write beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_probe.evaluation.evaluate import build_report
from diffusion_probe.evaluation.score_file import write_scores
from diffusion_probe.evaluation.scores import PROBE, ScoredSplit
from diffusion_probe.evaluation.trajectories import TRAJECTORIES, write_trajectories
from diffusion_probe.probe.manifest import to_json

POINTS = (1, 5, 10, 15)
PROMPTS, SEEDS, TOTAL_STEPS = 40, 8, 25
METRIC, RANGE, GOOD_AT = "module:reward", (0.0, 1.0), 0.5


def write_evaluated(
    folder: Path,
    noise: float = 0.3,
    metric: str = METRIC,
    side: int = 64,
    training_prompts: int | None = 800,
    baselines: bool = True,
    seeds: int = SEEDS,
) -> Path:
    """The files of the probe `folder.parent.name`. `noise`: standard deviation of its scores at step 1, in units of quality."""
    split, calibration = samples(2, noise, baselines, seeds), samples(1, noise, baselines, seeds)
    manifest: dict[str, Any] = {
        "schema_version": 2,
        "name": folder.parent.name,
        "version": int(folder.name),
        "backbone": "made up",
        "total_steps": TOTAL_STEPS,
        "capture": {"layers": ["one", "two"]},
        "conditions": {"call": {"height": side, "width": side}},
        "conditions_id": f"{side:016x}",
        "metric": {"name": metric, "range": RANGE, "good_at": GOOD_AT},
        "calibration": [],
        "trajectories": TRAJECTORIES,
        "plans": [],
        "evaluation": {},
        "files": {},
    }
    folder.mkdir(parents=True)
    (folder / "probe.json").write_text(json.dumps(manifest))
    write_trajectories(folder, calibration.probe_scores, calibration.quality)
    write_scores(folder / "test-scores.json", split.prompts, GOOD_AT, split.quality, split.probe_scores)
    report = {"kept": None, "training_prompts": training_prompts, **build_report(split, manifest, repeats=5)}
    (folder / "report.json").write_text(to_json(report))
    return folder


def samples(seed: int, noise: float, baselines: bool, seeds: int) -> ScoredSplit:
    """Qualities of which half of the variance lies within prompts, and scores whose errors fall with the step."""
    rng = np.random.default_rng(seed)
    quality = np.clip(0.5 + 0.15 * (rng.normal(size=(PROMPTS, 1)) + rng.normal(size=(PROMPTS, seeds))), 0, 1)
    scores = {step: quality + noise * rng.normal(size=quality.shape) / np.sqrt(step) for step in POINTS}
    others = {
        "true_prompt_mean": np.repeat(quality.mean(axis=1, keepdims=True), seeds, axis=1),
        "oracle": quality,
    }
    if baselines:
        others |= {name: rng.normal(size=quality.shape) for name in ("attend_and_excite", "guidance_difference")}
        others["preview_quality"] = quality + 0.1 * rng.normal(size=quality.shape)
    missing = [] if baselines else ["attend_and_excite", "focus", "guidance_difference", "preview_quality"]
    return ScoredSplit(
        name="test",
        prompts=[f"prompt {index}" for index in range(PROMPTS)],
        prompts_without_quality=0,
        not_compared=missing,
        quality=quality,
        metric_range=RANGE,
        good_at=GOOD_AT,
        total_steps=TOTAL_STEPS,
        timesteps={step: 1000.0 - 40 * step for step in POINTS},
        scores={step: {PROBE: own, **others} for step, own in scores.items()},
        probe_scores=scores,
    )


def write_selections(folder: Path, seconds: float, seeds: int, qualities: list[float]) -> None:
    """The records of a run of select, one per quality."""
    for number, quality in enumerate(qualities):
        own = folder / f"{number:04d}"
        own.mkdir(parents=True)
        best = {"rank": 1, "quality": quality}
        record = {"prompt": f"prompt {number}", "outcome": "scored", "calls": 75, "seconds": seconds, "failures": []}
        record |= {"plan": {"seeds": seeds, "keep": {}}, "samples": [best, *[{"rank": None, "quality": None}] * (seeds - 1)]}
        (own / "selection.json").write_text(json.dumps(record))
