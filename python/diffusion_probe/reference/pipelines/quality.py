"""Draws captions with a pipeline and rates the images: contact sheets during training, and figures at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from ...evaluation.evaluate import quality_spread
from ...pipelines.arguments import image_per_prompt
from ...progress import Progress
from ...selection.contact_sheet import Tile, write_contact_sheet
from ..metric import rewards
from ..rectified_flow import STEPS
from ..reward import Reward
from ..scenes import lay_out
from ..sentences import caption_texts
from ..source import GOOD_AT, pictures, to_bytes
from ..splits import data_captions
from ..train_reward import as_images
from .autoencoder import decode, encode

BATCH = 32  # images at a time
SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Quality:
    """The quality of the images of some captions, several of each."""

    captions: int
    seeds: int
    mean: float
    std: float
    within: float  # share of the variance that lies within captions
    good: float  # share of images of a quality of at least `GOOD_AT`
    scenes: float  # mean quality of painted scenes of these captions
    decoded: float  # and after the autoencoder: no image can be expected to be better

    def text(self) -> str:
        """The figures as a sentence."""
        return (
            f"{self.captions} held-out captions, {self.seeds} images each: mean quality {self.mean:.3f}, {self.good:.0%} good "
            f"(from {GOOD_AT}), {self.within:.0%} of the variance within captions; painted scenes {self.scenes:.3f}, after the "
            f"autoencoder {self.decoded:.3f}"
        )


def held_out_texts(count: int, sentences: float) -> list[str]:
    """The first `count` captions that a probe is trained on, and no backbone; a share of them in several sentences."""
    return caption_texts(data_captions("train", count), sentences, np.random.default_rng(0))


def draw(pipe: Any, call: Mapping[str, Any], prompts: Sequence[str], seeds: Sequence[int], shown: bool = True) -> list[Image]:
    """One image for each prompt and seed, in 25 steps. `shown`: with a progress bar."""
    pairs = list(zip(prompts, seeds, strict=True))
    images: list[Image] = []
    for start in Progress("images", 0, -(-len(pairs) // BATCH), unit="batch", shown=shown):
        some = pairs[start * BATCH : (start + 1) * BATCH]
        images += pipe(**image_per_prompt(call, *zip(*some, strict=True), STEPS)).images
    return images


def write_sheet(path: Path, pipe: Any, call: Mapping[str, Any], prompts: Sequence[str], reward: Reward, title: str) -> None:
    """Draw one image of each prompt onto a contact sheet, with its quality and the prompt below it."""
    images = draw(pipe, call, prompts, [0] * len(prompts), shown=False)
    scores = rewards(reward, images, prompts)
    tiles = [Tile(image, [f"{score:.2f} {prompt}"]) for image, score, prompt in zip(images, scores, prompts, strict=True)]
    write_contact_sheet(path, tiles, SHEET_COLUMNS, title)


def measure_quality(pipe: Any, call: Mapping[str, Any], captions: int, seeds: int, sentences: float, reward: Reward) -> Quality:
    """The quality of `seeds` images, at least two, of each of the first `captions` held-out captions."""
    texts = [text for text in held_out_texts(captions, sentences) for _ in range(seeds)]
    images = draw(pipe, call, texts, list(range(seeds)) * captions)
    quality = np.array(rewards_in_batches(reward, images, texts)).reshape(captions, seeds)
    good = round(float((quality >= GOOD_AT).mean()), 4)
    return Quality(captions, seeds, **quality_spread(quality), good=good, **decoded_quality(pipe.vae, captions, reward))


def decoded_quality(autoencoder: Any, captions: int, reward: Reward) -> dict[str, float]:
    """The mean quality of one painted scene of each of the captions, and of what the autoencoder makes of them."""
    known, rng = data_captions("train", captions), np.random.default_rng(0)
    painted = as_images([lay_out(caption, rng).image() for caption in known])
    decoded = torch.cat([decode(autoencoder, encode(autoencoder, part)) for part in painted.split(BATCH)])
    figures = {}
    for name, images in (("scenes", painted), ("decoded", decoded)):
        scores = rewards_in_batches(reward, pictures(to_bytes(images)), [caption.text() for caption in known])
        figures[name] = round(float(np.mean(scores)), 4)
    return figures


def rewards_in_batches(reward: Reward, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """The quality of each image."""
    parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
    return [score for part in parts for score in rewards(reward, images[part], prompts[part])]
