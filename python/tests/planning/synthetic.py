"""Made-up samples and probes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from diffusion_probe.evaluation.score_file import write_scores
from diffusion_probe.evaluation.trajectories import TRAJECTORIES, write_trajectories
from diffusion_probe.planning.runs import Runs

POINTS = (1, 3, 5)
STEPS = 10


def random_runs(prompts: int, seeds: int, noise: float, seed: int = 0, points: tuple[int, ...] = POINTS) -> Runs:
    """Scores are quality plus normal noise, which falls with the step; `noise` 0 is perfect, inf knows nothing."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, seeds))
    error = rng.normal(size=(prompts, seeds, len(points)))
    if np.isinf(noise):
        return Runs(points, STEPS, error, quality)
    return Runs(points, STEPS, quality[:, :, None] + noise * error / np.sqrt(points), quality)


def write_probe(folder: Path, noise: float = 0.5, prompts: int = 120, seeds: int = 6, trajectories_too: bool = True) -> Path:
    """The files of a probe that plans are computed from."""
    manifest = {
        "schema_version": 2,
        "name": "made-up",
        "version": 4,
        "total_steps": STEPS,
        "capture": {},
        "metric": {"name": "made up", "range": [-5, 5], "good_at": 0.5},
        "trajectories": TRAJECTORIES if trajectories_too else None,
        "plans": [],
        "calibration": [],
        "files": {TRAJECTORIES: ""} if trajectories_too else {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "probe.json").write_text(json.dumps(manifest))
    own, test = random_runs(prompts, seeds, noise, seed=1), random_runs(prompts, seeds, noise, seed=2)
    if trajectories_too:
        write_trajectories(folder, by_step(own), own.quality)
    write_scores(folder / "test-scores.json", [f"p{row}" for row in range(prompts)], 0.5, test.quality, by_step(test))
    return folder


def by_step(runs: Runs) -> dict[int, np.ndarray]:
    return {step: runs.scores[:, :, index] for index, step in enumerate(runs.points)}
