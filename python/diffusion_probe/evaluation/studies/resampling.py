"""The study `false-drop --resample`: how often a threshold loses more than alpha, over calibrations that might have been drawn.

The pool is the captions of a probe's calibration. Calibrations of as many captions are drawn from it with replacement, and the
rate in the pool is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ...probe.manifest import read_manifest
from ..confidence import CONFIDENCE
from ..conformal import conformal_threshold
from ..score_file import KnownSamples
from ..text_table import text_table
from ..trajectories import read_trajectories

BATCH = 250  # resamples at a time
SPARE = 3.0  # thresholds that lose up to so many times the largest alpha are considered
COLUMNS = ("probe", "step", "alpha", "exceeds alpha", "marginal", "drops", "marginal", "share")


def study_resampling(
    folders: Sequence[Path],
    alphas: Sequence[float],
    resamples: int,
    steps: Sequence[int] | None = None,
    confidence: float = CONFIDENCE,
    each: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> tuple[str, list[dict[str, Any]]]:
    """The study of some probes at `steps` (default: all decision points), as text and as rows. `each` walks through the parts.

    Raises FileNotFoundError for a probe without trajectories, and ValueError for a step without scores.
    """
    parts = []
    for folder in folders:
        manifest = read_manifest(folder)
        pool = read_trajectories(folder, manifest)
        missing = [step for step in steps or () if step not in pool.scores]
        if missing:
            raise ValueError(f"--steps {missing[0]}: the trajectories hold the steps {', '.join(map(str, pool.scores))}")
        parts += [(f"{manifest['name']}@{manifest['version']}", pool, step) for step in steps or pool.scores]
    rows = [row for probe, pool, step in each(parts) for row in resampled_rows(probe, pool, step, alphas, resamples, confidence)]
    cells = [
        [
            row["probe"],
            str(row["step"]),
            f"{100 * row['alpha']:g}%",
            *(f"{100 * row[name]:.1f}%" for name in ("exceed_share", "exceed_share_marginal", "drop_rate", "drop_rate_marginal")),
            f"{row['drop_rate'] / row['drop_rate_marginal']:.2f}" if row["drop_rate_marginal"] else "-",
        ]
        for row in rows
    ]
    head = (
        f"Over {resamples} calibrations drawn from the calibration captions: how often the threshold loses more than alpha of "
        f"the good samples, and what share of all samples it drops, with a confidence of {confidence:g} and without (marginal)."
    )
    return f"{head}\n\n{text_table([COLUMNS, *cells])}", rows


def resampled_rows(
    probe: str, pool: KnownSamples, step: int, alphas: Sequence[float], resamples: int, confidence: float = CONFIDENCE
) -> list[dict[str, Any]]:
    """A row per alpha: shares over resamples, and mean drop rates. Raises ValueError for a pool without good samples."""
    scores, good = pool.scores[step], pool.quality >= pool.good_at
    if not good.any():
        raise ValueError(f"{probe} has no good sample in its trajectories")
    thresholds = np.unique(scores[good])
    rate = np.searchsorted(np.sort(scores[good]), thresholds) / good.sum()
    dropped = np.searchsorted(np.sort(scores), thresholds) / len(scores)
    considered = rate <= SPARE * max(alphas)
    rng = np.random.default_rng(0)
    lost = _lost_by_caption(pool, scores, good, thresholds[considered])
    rows = {alpha: {"ours": [], "marginal": []} for alpha in alphas}
    for start in range(0, resamples, BATCH):
        draws = rng.integers(pool.captions, size=(min(BATCH, resamples - start), pool.captions))
        bound = _bounds(draws, lost, np.bincount(pool.caption[good], minlength=pool.captions), confidence)
        marginal = [_one_per_caption(pool, scores, good, own, rng) for own in draws]
        for alpha in alphas:
            # The first place above alpha, one back: none (-1) where even the lowest threshold is above.
            above = np.concatenate([bound > alpha, np.ones((len(bound), 1), bool)], axis=1)
            rows[alpha]["ours"] += list(np.argmax(above, axis=1) - 1)
            found = [conformal_threshold(own, alpha) for own in marginal]
            rows[alpha]["marginal"] += [-1 if one is None else int(np.searchsorted(thresholds, one)) for one in found]
    return [
        {
            "probe": probe,
            "step": step,
            "alpha": alpha,
            "confidence": confidence,
            **_figures("", np.array(places["ours"]), rate, dropped, alpha),
            **_figures("_marginal", np.array(places["marginal"]), rate, dropped, alpha),
        }
        for alpha, places in rows.items()
    ]


def _figures(suffix: str, places: np.ndarray, rate: np.ndarray, dropped: np.ndarray, alpha: float) -> dict[str, float]:
    """How often the thresholds at these places exceed alpha, and what they drop on average; -1 drops nothing."""
    known = places >= 0
    exceeds = known & (rate[places] > alpha)
    drops = np.where(known, dropped[places], 0)
    return {f"exceed_share{suffix}": round(float(exceeds.mean()), 4), f"drop_rate{suffix}": round(float(drops.mean()), 4)}


def _lost_by_caption(pool: KnownSamples, scores: np.ndarray, good: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """[captions, thresholds]: how many good samples of each caption score below each threshold."""
    first_above = np.searchsorted(thresholds, scores[good], side="right")
    counts = np.zeros((pool.captions, len(thresholds) + 1))
    np.add.at(counts, (pool.caption[good], first_above), 1)
    return counts.cumsum(axis=1)[:, :-1]


def _bounds(draws: np.ndarray, lost: np.ndarray, of_caption: np.ndarray, confidence: float) -> np.ndarray:
    """[draws, thresholds]: the bound of confidence.upper_bound, for calibrations of these captions [draws, captions]."""
    weights = np.stack([np.bincount(own, minlength=len(lost)) for own in draws]).astype(np.float64)
    total = (weights @ of_caption)[:, None]
    rate = weights @ lost / total
    square = weights @ lost**2 - 2 * rate * (weights @ (lost * of_caption[:, None]))
    square += rate**2 * (weights @ of_caption**2)[:, None]
    with_good = (weights @ (of_caption > 0))[:, None]
    error = np.sqrt(np.maximum(square, 0) * with_good / (with_good - 1)) / total
    z = NormalDist().inv_cdf(confidence)
    return rate + z * error + z**2 / (2 * with_good)


def _one_per_caption(
    pool: KnownSamples, scores: np.ndarray, good: np.ndarray, draws: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The good ones among one random sample of each drawn caption."""
    counts = np.bincount(pool.caption)
    order = np.argsort(pool.caption, kind="stable")
    starts = np.cumsum(counts) - counts
    chosen = order[starts[draws] + (rng.random(len(draws)) * counts[draws]).astype(int)]
    return scores[chosen][good[chosen]]
