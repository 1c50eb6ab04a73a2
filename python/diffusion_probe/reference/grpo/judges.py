"""Who scores the samples at the decision step: a probe, or the reward of the finished image (`--oracle`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from ...local import LocalProbe
from ...probe.manifest import read_manifest
from ..backbone import TIMESTEPS
from ..rectified_flow import StepOutput, noise_levels
from ..source import ReferenceSource
from ..step_reader import StepReader

Score = Callable[[StepOutput, Tensor], np.ndarray]
THREADS = 1  # of the probe


def probe_scores(folder: Path, source: ReferenceSource, steps: int, step: int) -> Score:
    """Scores of a probe, float64 [batch], at `step` of a run of `steps`, for the padded token ids [batch, tokens] of its samples.

    Raises FileNotFoundError without a probe, and ValueError if it reads other layers or cannot score at that step.
    """
    manifest = read_manifest(folder)
    capture, points = manifest["capture"], manifest["decision_points"]
    declared = {entry["name"] for entry in manifest["inputs"]}
    read = StepReader(source.capture.layers, capture["layers"], capture["height"], declared)
    levels = noise_levels(steps)
    timestep = float(levels[step - 1]) * TIMESTEPS
    if not any(abs(timestep - point["timestep"]) <= point["tolerance"] for point in points):
        known = ", ".join(f"{point['timestep']:g}" for point in points)
        raise ValueError(f"step {step} of {steps} has the timestep {timestep:.1f}: the probe scores at {known}")
    probe = LocalProbe(folder, THREADS)

    def score(output: StepOutput, ids: Tensor) -> np.ndarray:
        attention, mask, signals = read(output, ids[:, 1:].numpy())
        return probe.score(attention, timestep, token_mask=mask, signals=signals).astype(np.float64)

    return score
