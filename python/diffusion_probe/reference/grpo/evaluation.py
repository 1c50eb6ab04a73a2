"""Judges a policy on held-out captions: its reward, what the reward is made of, and how well the probe ranks its samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...devices import mixed_precision
from ...evaluation.correlations import spearman_within
from ...selection.contact_sheet import Tile, write_contact_sheet
from ..backbone import Backbone
from ..rectified_flow import GUIDANCE, StepOutput, sample
from ..reward import Reward
from ..source import ReferenceSource, from_bytes, initial_noise, pictures, plain_ids, to_bytes
from .judges import Score

BATCH = 32
RIGHT = 0.5  # every term of a quality above this: an image that is right in every respect
SHEET = 40  # images


def judge_policy(
    backbone: Backbone,
    source: ReferenceSource,
    captions: Sequence[str],
    seeds: int,
    steps: int,
    *,
    score: Score | None,
    step: int,
    second: Reward | None,
    sheet: Path | None,
) -> dict[str, float]:
    """Figures of the images of every caption with `seeds` seeds, drawn by the sampler without noise.

    `reward`: their mean quality; `things` to `drawn`: its terms; `right`: the share of images of which every term is above 0.5;
    `second_reward`: the mean quality by `second`, a reward that the policy is not trained on; `rho`: the Spearman correlation of
    `score` at `step` with the quality over the seeds of a caption, the mean over captions, if it is defined for any. `sheet`:
    where to write some of the images.
    """
    drawn = [(caption, seed) for caption in captions for seed in range(seeds)]
    prompts = [caption for caption, _ in drawn]
    size = backbone.config.image_size
    noise = torch.stack([initial_noise(caption, seed, size) for caption, seed in drawn])
    ids = source.token_ids(prompts)
    images, scores = [], []
    with mixed_precision():
        for rows in torch.arange(len(prompts)).split(BATCH):

            def ask(output: StepOutput, rows: Tensor = rows) -> None:
                scores.append(score(output, ids[rows]))

            asks = {"on_step": ask, "capture_steps": frozenset({step})} if score else {}
            images.append(to_bytes(sample(backbone, ids[rows], noise[rows], steps, GUIDANCE, **asks)))
    pixels = torch.cat(images)
    plain = plain_ids(prompts)
    terms = quality_terms(source.reward, pixels, plain)
    quality = terms.pop("quality")
    figures = {"reward": quality.mean(), **{name: values.mean() for name, values in terms.items()}}
    figures["right"] = np.mean(np.min(list(terms.values()), axis=0) > RIGHT)
    if second is not None:
        figures["second_reward"] = quality_terms(second, pixels, plain)["quality"].mean()
    if score:
        within = spearman_within(np.concatenate(scores).reshape(-1, seeds), quality.reshape(-1, seeds))
        if np.isfinite(within).any():
            figures["rho"] = np.nanmean(within)
    if sheet is not None:
        shown = zip(pictures(pixels[:SHEET]), quality, prompts, strict=False)
        tiles = [Tile(picture, [f"{value:.2f} {prompt}"]) for picture, value, prompt in shown]
        write_contact_sheet(sheet, tiles, seeds * max(1, 8 // seeds))
    return {name: round(float(value), 5) for name, value in figures.items()}


@torch.no_grad()
def quality_terms(reward: Reward, pixels: Tensor, plain: Tensor) -> dict[str, np.ndarray]:
    """The quality and its terms, each float64 [n], of images uint8 [n, 3, size, size] for plain captions [n, tokens]."""
    with mixed_precision():
        terms = reward.quality_terms(reward.reader(from_bytes(pixels)), plain)
    values = {"quality": terms.quality(), **terms._asdict()}
    return {name: value.double().numpy() for name, value in values.items()}
