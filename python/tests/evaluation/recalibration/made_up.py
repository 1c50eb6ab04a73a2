"""Made-up feedback whose truth is known: lines as the service writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.probe.manifest import write_manifest

STEP, GOOD_AT = 5, 0.6


def traffic(rng: np.random.Generator, captions: int, seeds: int = 4, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and qualities [captions, seeds] in [0, 1]; `shift` moves the scores alone, as other conditions do."""
    quality = np.clip(rng.normal(0.5, 0.2, (captions, 1)) + rng.normal(0, 0.15, (captions, seeds)), 0, 1)
    return quality + rng.normal(0, 0.12, quality.shape) + shift, quality


def line(**changes: Any) -> dict[str, Any]:
    """One line of the file."""
    fields = {"decided_at": "2026-11-28T00:00:00.000Z", "model": "tiny", "version": 1, "step": STEP, "sample": "s", "group": "g"}
    return {**fields, "score": 0.5, "quality": 0.7, "weight": 1, "good_at": GOOD_AT, "policy": "max_false_drop", **changes}


def lines_of(scores: np.ndarray, quality: np.ndarray) -> list[dict[str, Any]]:
    """A line per sample."""
    return [
        line(sample=f"s{group}-{seed}", group=f"g{group}", score=float(score), quality=float(quality[group, seed]))
        for (group, seed), score in np.ndenumerate(scores)
    ]


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in lines))
    return path


def write_probe(folder: Path, scores: np.ndarray, quality: np.ndarray) -> Path:
    """A probe's folder with a calibration; what its files hold does not matter here."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"a network")
    (folder / "trajectories.npz").write_text("{}")
    metadata = {"model": "tiny@1", "step": "5", "conditions_id": "old"}
    save_file({"timestep": np.ones(2, np.float32)}, folder / "selftest.safetensors", metadata=metadata)
    manifest = {
        "schema_version": 2,
        "name": "tiny",
        "version": 1,
        "conditions": {"dtype": "float32"},
        "conditions_id": "old",
        "metric": {"name": "own", "range": [0, 1], "good_at": GOOD_AT},
        "decision_points": [{"step": STEP, "timestep": 700, "tolerance": 2}, {"step": 10, "timestep": 500, "tolerance": 2}],
        "calibration": [calibration_at(STEP, scores, quality, GOOD_AT)],
        "trajectories": "trajectories.npz",
        "plans": [{"budget": 3}],
        "evaluation": {"kept": "the last step"},
        "selftest": {"input": "selftest.safetensors", "scores": [0.5, 0.5], "tolerance": 0.01},
        "files": {"model.onnx": "", "selftest.safetensors": "", "trajectories.npz": ""},
    }
    write_manifest(folder, manifest)
    return folder
