"""How much gradient a denoiser call buys, by how the samples of a group are chosen: signal squared over noise, per call.

cd python && python -m tests.grpo.precision

In a world of normal numbers: the reward correlates by `rho` with the score, and a little with the one direction in which the
policy can move, as a reward does with a single direction of many. Figures are relative to the whole group.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffusion_probe.grpo import advantages, allocate, draw, weights
from diffusion_probe.progress import Progress
from diffusion_probe.reference.grpo.arms import most_varied

GROUPS, GROUP = 6000, 16
STEPS = 25  # denoiser calls of a sample
UPDATES = 6  # further ones of a sample that is kept: three transitions, for the policy and for the start
SIGNAL = 0.1  # correlation of the reward with the direction
Choice = Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]
"""The estimate of the gradient from rewards, actions and scores of a group, and a seed."""


def weighted(shape: str, floor: float, share: float, scaled: bool = False) -> Choice:
    """Kept by known probabilities. `scaled`: with the baseline of all kept samples and the factor W/n."""

    def estimate(rewards: np.ndarray, actions: np.ndarray, scores: np.ndarray, seed: int) -> float:
        group = np.zeros(GROUP)
        probabilities = allocate(scores, group, floor, shape, share)
        own = weights(probabilities, draw(probabilities, seed))
        if scaled:
            return float(own @ ((rewards * own.sum() - own @ rewards) * actions)) / GROUP**2
        return float((own * advantages(rewards, own, group, 1.0)) @ actions) / GROUP

    return estimate


def extremes(share: float) -> Choice:
    """The most varied part, without weights."""

    def estimate(rewards: np.ndarray, actions: np.ndarray, scores: np.ndarray, seed: int) -> float:
        rows = most_varied(scores, round(share * GROUP))
        return float(advantages(rewards[rows], np.ones(len(rows)), np.zeros(len(rows)), 1.0) @ actions[rows]) / len(rows)

    return estimate


CHOICES: dict[str, tuple[float, float, Choice]] = {  # decision step, share kept, choice
    "full": (STEPS, 1.0, weighted("uniform", 1.0, 1.0)),
    "random half": (0, 0.5, weighted("uniform", 0.5, 0.5)),
    "random half, W/n": (0, 0.5, weighted("uniform", 0.5, 0.5, scaled=True)),
    **{
        f"tails at {step}, floor {floor}": (step, 0.5, weighted("tails", floor, 0.5))
        for step in (3, 5)
        for floor in (0.1, 0.25, 0.4)
    },
    "tails at 5, floor 0.25, W/n": (5, 0.5, weighted("tails", 0.25, 0.5, scaled=True)),
    **{f"variance at {step}, {share}": (step, share, extremes(share)) for step in (3, 5) for share in (0.25, 0.5)},
}


def per_call(choice: tuple[float, float, Choice], rho: float) -> float:
    """Squared mean over variance of the estimates, per denoiser call."""
    step, share, estimate = choice
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(GROUPS, GROUP))
    actions = SIGNAL * rewards + rng.normal(size=rewards.shape)
    scores = rho * rewards + (1 - rho**2) ** 0.5 * rng.normal(size=rewards.shape)
    found = np.array([estimate(rewards[i], actions[i], scores[i], i) for i in range(GROUPS)])
    calls = step + (STEPS - step) * share + UPDATES * share
    return float(found.mean() ** 2 / found.var() / calls)


def main() -> None:
    rhos = (0.4, 0.6, 0.8, 1.0)
    rows = [(name, rho) for name in CHOICES for rho in rhos]
    found = {rows[index]: per_call(CHOICES[rows[index][0]], rows[index][1]) for index in Progress("precision", 0, len(rows))}
    print("| rho of the score |", " | ".join(map(str, rhos)), "|")
    print("|---" * (len(rhos) + 1) + "|")
    for name in CHOICES:
        print(f"| {name} |", " | ".join(f"{found[name, rho] / found['full', rho]:.2f}" for rho in rhos), "|")


if __name__ == "__main__":
    main()
