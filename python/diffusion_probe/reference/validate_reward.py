"""Validates the reward on held-out scenes: what it detects in clean ones, and whether a mistake lowers the quality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .backbone import pad_ids
from .captions import tokenize
from .corruption import paint_labelled, smear
from .reward import Detections, Detector, Reward
from .scenes import SIZE, Scene, Thing, lay_out, paste, sprite
from .splits import sample_caption
from .train_reward import as_images
from .vocabulary import BACKGROUNDS, PICTOGRAMS


@dataclass(frozen=True)
class RewardReport:
    """Figures on held-out captions."""

    exact: float  # share of clean scenes with every count, the background and the relation detected
    clean_quality: float  # mean quality of clean scenes
    lower_after: dict[str, float]  # by kind of mistake: share of scenes whose quality fell
    mean_after: dict[str, float]  # by kind of mistake: mean quality

    def text(self) -> str:
        """The figures as lines of text."""
        lines = [f"clean held-out scenes detected exactly: {self.exact:.1%}; mean quality {self.clean_quality:.3f}"]
        for name, share in self.lower_after.items():
            lines.append(f"one thing {name}: quality lower in {share:.1%}; mean {self.mean_after[name]:.3f}")
        return "\n".join(lines)


@torch.no_grad()
def validate_reward(reward: Reward, scenes: int = 1000, seed: int = 1) -> RewardReport:
    """Score held-out scenes, clean and with one mistake each: a thing removed, added, swapped or smeared, the relation turned."""
    rng = np.random.default_rng([seed, 11])
    originals = [lay_out(sample_caption(rng, "test"), rng) for _ in range(scenes)]
    ids = pad_ids([tokenize(scene.caption.text()) for scene in originals])
    clean = as_images([scene.image() for scene in originals])
    detections = _in_batches(reward.reader, clean)
    terms = reward.quality_terms(detections, ids)
    counts = torch.zeros(scenes, len(PICTOGRAMS))
    for row, scene in enumerate(originals):
        for phrase in scene.caption.phrases:
            counts[row, PICTOGRAMS.index(phrase.pictogram)] = phrase.count
    backgrounds = torch.tensor([list(BACKGROUNDS).index(scene.caption.background) for scene in originals])
    right = (detections.density.sum(dim=(2, 3)).round() == counts).all(dim=1)
    right &= detections.background.argmax(dim=1) == backgrounds
    right &= terms.relation > 0.5
    before = terms.quality()
    lower, mean = {}, {}
    for name, change in CHANGES.items():
        changed = [change(scene, rng) for scene in originals]
        rows = [row for row, image in enumerate(changed) if image is not None]
        images = as_images([image for image in changed if image is not None])
        after = reward.quality_terms(_in_batches(reward.reader, images), ids[rows]).quality()
        lower[name] = (after < before[rows]).float().mean().item()
        mean[name] = after.mean().item()
    return RewardReport(right.float().mean().item(), before.mean().item(), lower, mean)


def _in_batches(detector: Detector, images: Tensor, size: int = 100) -> Detections:
    batches = [detector(batch) for batch in images.split(size)]
    return Detections(*(torch.cat(fields) for fields in zip(*batches, strict=True)))


def _paint(scene: Scene, things: Iterable[Thing], rng: np.random.Generator) -> np.ndarray:
    return paint_labelled([(thing, False) for thing in things], scene.caption.background, rng).image


def _removed(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    things = list(scene.things)
    things.pop(int(rng.integers(len(things))))
    return _paint(scene, things, rng)


def _added(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    """The scene, laid out again, with one more thing; None when no free place was found."""
    scene = lay_out(scene.caption, rng)
    for _ in range(50):
        x, y = (int(v) for v in rng.integers(9, 55, size=2))
        if all(max(abs(x - t.x), abs(y - t.y)) > 0.45 * (t.size + 16) for t in scene.things):
            stray = Thing(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], x, y, 16)
            return _paint(scene, (*scene.things, stray), rng)
    return None


def _swapped(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    things = list(scene.things)
    index = int(rng.integers(len(things)))
    others = [name for name in PICTOGRAMS if name != things[index].pictogram]
    things[index] = replace(things[index], pictogram=others[rng.integers(len(others))])
    return _paint(scene, things, rng)


def _smeared(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    thing = scene.things[int(rng.integers(len(scene.things)))]
    canvas = _paint(scene, [other for other in scene.things if other is not thing], rng).astype(np.float32)
    paste(canvas, smear(sprite(thing.pictogram, thing.size), 0.6, rng), thing.x, thing.y)
    return canvas.round().clip(0, 255).astype(np.uint8)


def _turned(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    """The scene mirrored along its relation's axis; None without a relation."""
    if scene.caption.relation is None:
        return None
    is_left = scene.caption.relation == "left"
    mirrored = [replace(t, x=SIZE - 1 - t.x) if is_left else replace(t, y=SIZE - 1 - t.y) for t in scene.things]
    return _paint(scene, mirrored, rng)


CHANGES = {"removed": _removed, "added": _added, "swapped": _swapped, "smeared": _smeared, "turned": _turned}
