"""One group of Flow-GRPO: a probe looks at step 5, both tails of its scores go on, and weights make up for the dropped samples.

python examples/grpo_group.py

The backbone is the reference world of this repository. It prints, for each sample, the probe's score, the probability with which
it was kept, its weight, its reward and its advantage, and what the group cost.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusion_probe.grpo import KeepRule, advantages, effective_sample_size, group_means, group_variances
from diffusion_probe.reference.grpo.judges import probe_scores
from diffusion_probe.reference.grpo.rollout import Sampler, roll_out
from diffusion_probe.reference.source import ReferenceSource, to_bytes

ROOT = Path(__file__).parents[1]
STEPS, STEP, WINDOW = 25, 5, range(2, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--caption", default="a hat left of a cactus on a green background", help="in words of the reference world"
    )
    parser.add_argument("--group", type=int, default=16, help="samples of the caption")
    parser.add_argument("--share", type=float, default=0.5, help="how many of them go on, on average")
    parser.add_argument("--floor", type=float, default=0.25, help="the least probability with which a sample is kept")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of the draws")
    options = parser.parse_args()

    source = ReferenceSource.load(ROOT / "reference")
    score = probe_scores(ROOT / "models" / "pictogram" / "2", source, STEPS, STEP)
    rule = KeepRule(options.floor, "tails", options.share)
    group = np.zeros(options.group)  # one caption
    ids = source.token_ids([options.caption]).expand(options.group, -1)
    size = source.backbone.config.image_size

    def noise(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(options.seed * STEPS + step)
        return torch.randn(options.group, 3, size, size, generator=generator)

    decision = (STEP, lambda output: rule.decide(score(output, ids), group, options.seed))
    drawn = roll_out(source.backbone, ids, noise(0), Sampler(STEPS, 3.0, 0.7), WINDOW, noise, decision)
    kept = drawn.kept
    rewards = kept.scattered(source.quality(to_bytes(drawn.images), [options.caption] * len(kept.rows)))

    gains = advantages(rewards, kept.weights, group)
    print("sample  score  probability  weight  reward  advantage")
    for row, values in enumerate(zip(kept.scores, kept.probabilities, kept.weights, rewards, gains, strict=True)):
        found, probability, weight, reward, gain = values
        end = f"{weight:6.2f}  {reward:6.3f}  {gain:9.2f}" if weight else "dropped"
        print(f"{row:6d}  {found:5.3f}  {probability:11.2f}  {end}")
    mean, std = group_means(rewards, kept.weights, group)[0], group_variances(rewards, kept.weights, group)[0] ** 0.5
    print(f"the group's mean is about {mean:.3f}, its standard deviation {std:.3f}")
    print(f"effective sample size {effective_sample_size(kept.weights):.1f} of {len(kept.rows)} kept of {options.group}")
    print(f"{drawn.calls} denoiser calls in place of {options.group * STEPS}")


if __name__ == "__main__":
    main()
