"""Who scores the samples at the decision step: a probe, or the reward of the finished image (`--oracle`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from ...local import LocalProbe
from ...probe.manifest import read_manifest
from ..backbone import TIMESTEPS
from ..probe_signals import declared_signals
from ..rectified_flow import StepOutput, noise_levels
from ..source import ReferenceSource, grid_maps

Score = Callable[[StepOutput, Tensor], np.ndarray]
THREADS = 1  # of the probe


def probe_scores(folder: Path, source: ReferenceSource, steps: int, step: int) -> Score:
    """Scores of a probe, float64 [batch], at `step` of a run of `steps`, for the padded token ids [batch, tokens] of its samples.

    Raises FileNotFoundError without a probe, and ValueError if it reads other layers or cannot score at that step.
    """
    manifest = read_manifest(folder)
    capture, points = manifest["capture"], manifest["decision_points"]
    absent = [layer for layer in capture["layers"] if layer not in source.capture.layers]
    if absent:
        raise ValueError(f"the probe reads the layer {absent[0]}: the backbone has {', '.join(source.capture.layers)}")
    levels = noise_levels(steps)
    timestep = float(levels[step - 1]) * TIMESTEPS
    if not any(abs(timestep - point["timestep"]) <= point["tolerance"] for point in points):
        known = ", ".join(f"{point['timestep']:g}" for point in points)
        raise ValueError(f"step {step} of {steps} has the timestep {timestep:.1f}: the probe scores at {known}")
    layers = [source.capture.layers.index(layer) for layer in capture["layers"]]
    declared = {entry["name"] for entry in manifest["inputs"]}
    probe = LocalProbe(folder, THREADS)

    def score(output: StepOutput, ids: Tensor) -> np.ndarray:
        tokens = ids[:, 1:]  # without the begin token, like the maps
        mask = (tokens != 0).numpy().astype(np.uint8)
        longest = int(mask.sum(axis=1).max())
        maps = grid_maps([output.maps[layer] for layer in layers], capture["height"])[:, :, :longest]
        signals = declared_signals(output, tokens[:, :longest].numpy(), declared)
        attention = maps.half().numpy()
        return probe.score(attention, timestep, token_mask=mask[:, :longest], signals=signals).astype(np.float64)

    return score
