"""The file of trajectories beside a probe: what plans and thresholds are computed from. Needs NumPy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .rounding import rounded
from .score_file import KnownSamples

TRAJECTORIES = "trajectories.json"


def trajectories(scores: Mapping[int, np.ndarray], quality: np.ndarray) -> dict[str, Any]:
    """The scores of each sample at all steps, and its quality, from arrays [prompts, seeds].

    Prompts and seeds are named by their index. A quality that is not known is null. Scores of nan are of no sample: a prompt may
    have fewer seeds than others.
    """
    by_sample = np.stack(list(scores.values()), axis=-1)
    items = [
        {
            "prompt": prompt,
            "seed": seed,
            "scores": rounded(by_sample[prompt, seed]),
            "quality": rounded([quality[prompt, seed]])[0],
        }
        for prompt, seed in np.argwhere(np.isfinite(by_sample).all(axis=-1)).tolist()
    ]
    return {"points": list(scores), "items": items}


def read_trajectories(folder: Path, manifest: Mapping[str, Any]) -> KnownSamples:
    """The samples of known quality of a probe's trajectories.

    Raises FileNotFoundError for a probe without the file, and ValueError for one that is not valid or holds no known quality.
    """
    name = manifest.get("trajectories")
    probe = f"{manifest['name']}@{manifest['version']}"
    if name is None or not (folder / name).exists():
        raise FileNotFoundError(f"{probe} has no trajectories in {folder}: 'diffusion-probe calibrate' writes them")
    try:
        fields = json.loads((folder / name).read_text())
        known = [item for item in fields["items"] if item["quality"] is not None]
        if not known:
            raise ValueError("no sample has a known quality")
        scores = np.array([item["scores"] for item in known], np.float64)
        quality = np.array([item["quality"] for item in known], np.float64)
        if scores.shape != (len(known), len(fields["points"])) or not np.isfinite(scores).all() or not np.isfinite(quality).all():
            raise ValueError("expected one finite score per decision point")
        prompts, caption = np.unique([item["prompt"] for item in known], return_inverse=True)
        by_step = {int(step): scores[:, index] for index, step in enumerate(fields["points"])}
        return KnownSamples(len(prompts), caption, quality, float(manifest["metric"]["good_at"]), by_step)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / name} is not valid: {type(error).__name__}: {error}") from error
