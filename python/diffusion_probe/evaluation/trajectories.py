"""The file of trajectories beside a probe: what plans and thresholds are computed from. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .score_file import KnownSamples

TRAJECTORIES = "trajectories.npz"


def write_trajectories(folder: Path, scores: Mapping[int, np.ndarray], quality: np.ndarray) -> None:
    """Write the scores of each sample at all steps, and its quality, from arrays [prompts, seeds].

    The file holds `points` int64 [points], and for each sample `prompt` and `seed` int32 [n], their index, `scores` float16
    [n, points] and `quality` float16 [n], nan where it is not known; both float32 where a value is too large for float16.
    Scores of nan are of no sample: a prompt may have fewer seeds than others.
    """
    by_sample = np.stack(list(scores.values()), axis=-1)
    largest = max(np.nanmax(np.abs(by_sample), initial=0), np.nanmax(np.abs(quality), initial=0))
    dtype = np.float16 if largest <= np.finfo(np.float16).max else np.float32
    prompt, seed = np.nonzero(np.isfinite(by_sample).all(axis=-1))
    np.savez_compressed(
        folder / TRAJECTORIES,
        points=np.array(list(scores)),
        prompt=prompt.astype(np.int32),
        seed=seed.astype(np.int32),
        scores=by_sample[prompt, seed].astype(dtype),
        quality=quality[prompt, seed].astype(dtype),
    )


def read_trajectories(folder: Path, manifest: Mapping[str, Any]) -> KnownSamples:
    """The samples of known quality of a probe's trajectories.

    Raises FileNotFoundError for a probe without the file, and ValueError for one that is not valid or holds no known quality.
    """
    name = manifest.get("trajectories")
    probe = f"{manifest['name']}@{manifest['version']}"
    if name is None or not (folder / name).exists():
        raise FileNotFoundError(f"{probe} has no trajectories in {folder}: 'diffusion-probe calibrate' writes them")
    try:
        with np.load(folder / name) as arrays:
            known = np.isfinite(arrays["quality"])
            points, prompt = arrays["points"], arrays["prompt"][known]
            scores, quality = (arrays[field][known].astype(np.float64) for field in ("scores", "quality"))
        if not known.any():
            raise ValueError("no sample has a known quality")
        if scores.shape != (len(prompt), len(points)) or not np.isfinite(scores).all():
            raise ValueError("expected one finite score per decision point")
        prompts, caption = np.unique(prompt, return_inverse=True)
        by_step = {int(step): scores[:, index] for index, step in enumerate(points)}
        return KnownSamples(len(prompts), caption, quality, float(manifest["metric"]["good_at"]), by_step)
    except (BadZipFile, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / name} is not valid: {type(error).__name__}: {error}") from error
