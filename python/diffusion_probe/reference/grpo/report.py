"""Held-out reward against denoiser calls spent: the curves of several trainings, compared at equal reward and equal calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.isotonic import IsotonicRegression

BASELINE = "full"
SIZE = (6.4, 4.2)


@dataclass(frozen=True)
class Curve:
    """The judgements of one training."""

    name: str  # of the arm, with "oracle" where the reward itself gave the scores
    seed: int
    calls: np.ndarray  # of the denoiser, ascending, from 0
    reward: np.ndarray

    @classmethod
    def read(cls, log: Path) -> Curve:
        """From a training's log. Raises FileNotFoundError, and ValueError for another file or one without two judgements."""
        try:
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            name = f"{lines[0]['arm']}{' (oracle)' if lines[0]['oracle'] else ''}"
            columns = (np.array([line[key] for line in lines], np.float64) for key in ("calls", "reward"))
            curve = cls(name, int(lines[0]["seed"]), *columns)
        except (IndexError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{log} is no log of reference grpo: {error!r}") from error
        if len(lines) < 2:
            raise ValueError(f"{log} has {len(lines)} judgement: expected at least 2 for a curve")
        return curve

    @property
    def rising(self) -> np.ndarray:
        """The reward without the noise of single judgements: the closest curve that never falls (isotonic regression)."""
        return IsotonicRegression().fit_transform(self.calls, self.reward)

    def calls_to(self, reward: float) -> float:
        """The calls after which the rising curve has a reward; NaN if it never does."""
        rising = self.rising
        reached = np.flatnonzero(rising >= reward)
        if not len(reached):
            return float("nan")
        first = reached[0]
        if first == 0:
            return float(self.calls[0])
        low, high = rising[first - 1], rising[first]
        return float(self.calls[first - 1] + (reward - low) / (high - low) * (self.calls[first] - self.calls[first - 1]))

    def reward_at(self, calls: float) -> float:
        """The reward of the rising curve after so many calls."""
        return float(np.interp(calls, self.calls, self.rising))


def compare(curves: Sequence[Curve]) -> dict[str, Any]:
    """Each arm against the whole group, paired by seed.

    `final_reward`: of the last judgement; the others are read off the rising curves. `calls_ratio_at_equal_reward`: the calls of
    the whole group until it has the reward of its end, over those of the arm until it has as much; null where the arm never does,
    and where the whole group gains nothing. `reward_difference_at_equal_calls`: arm minus whole group, after as many calls as the
    shorter of the two spent. Raises ValueError for two trainings of one arm and seed.
    """
    by_arm: dict[str, dict[int, Curve]] = {}
    for curve in curves:
        if curve.seed in by_arm.setdefault(curve.name, {}):
            raise ValueError(f"there are two logs of the arm {curve.name} with the seed {curve.seed}: expected one of each")
        by_arm[curve.name][curve.seed] = curve
    whole = by_arm.get(BASELINE, {})
    report: dict[str, Any] = {}
    for name, own in sorted(by_arm.items()):
        pairs = {seed: (curve, whole[seed]) for seed, curve in sorted(own.items()) if seed in whole and name != BASELINE}
        report[name] = {
            "seeds": sorted(own),
            "final_reward": {str(seed): _rounded(curve.reward[-1]) for seed, curve in sorted(own.items())},
        }
        if pairs:
            ratios = {seed: _ratio(arm, base) for seed, (arm, base) in pairs.items()}
            ends = {seed: min(arm.calls[-1], base.calls[-1]) for seed, (arm, base) in pairs.items()}
            differences = {seed: arm.reward_at(ends[seed]) - base.reward_at(ends[seed]) for seed, (arm, base) in pairs.items()}
            report[name]["calls_ratio_at_equal_reward"] = {str(seed): _rounded(value) for seed, value in ratios.items()}
            report[name]["reward_difference_at_equal_calls"] = {str(seed): _rounded(value) for seed, value in differences.items()}
    return report


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """One line per training, one colour per arm: held-out reward against denoiser calls."""
    figure, axes = plt.subplots(figsize=SIZE)
    names = sorted({curve.name for curve in curves})
    for curve in curves:
        first = curve.seed == min(other.seed for other in curves if other.name == curve.name)
        axes.plot(curve.calls, curve.reward, color=f"C{names.index(curve.name)}", alpha=0.7, label=curve.name if first else None)
    axes.set(xlabel="denoiser calls, for samples and updates", ylabel="held-out reward")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def _ratio(arm: Curve, base: Curve) -> float:
    """NaN too where the baseline never rises: there is nothing to reach."""
    needed = base.calls_to(base.rising[-1])
    return needed / arm.calls_to(base.rising[-1]) if needed else float("nan")


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
