"""Training of the reward's reader on clean and spoilt scenes, and its validation on scenes it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import mixed_precision
from ..training.checkpoint import load_checkpoint
from ..training.loop import Schedule, Trainer
from .backbone import pad_ids
from .corruption import Labelled, label, sample_labelled, smear
from .language import BACKGROUNDS, PICTOGRAMS, tokenize
from .reward import Reader, Reading, Reward
from .scenes import Scene, Thing, lay_out, paste, sprite
from .splits import sample_of

BATCH = 64
LEARNING_RATE = 1.5e-3
WEIGHT_DECAY = 0.02
WARM_UP_STEPS = 100
COOL_DOWN_SHARE = 0.4
AVERAGE_DECAY = 0.998
CHECKPOINT_EVERY = 250


def train_reward(checkpoint: Path, steps: int, seed: int = 0, batch: int = BATCH, width: int = 128) -> Reward:
    """Train until `steps` from the checkpoint or from scratch; returns the reward with averaged weights."""
    torch.manual_seed(seed)
    reader = Reader(width).to(memory_format=torch.channels_last)
    schedule = Schedule(
        steps=steps,
        learning_rate=LEARNING_RATE,
        warm_up_steps=WARM_UP_STEPS,
        cool_down_share=COOL_DOWN_SHARE,
        save_every=CHECKPOINT_EVERY,
        average_decay=AVERAGE_DECAY,
        weight_decay=WEIGHT_DECAY,
    )

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng([seed, 7, step])
        examples = [sample_labelled(rng) for _ in range(batch)]
        with mixed_precision():
            reading = reader(as_images([example.image for example in examples]))
        return reading_loss(reading, examples)

    Trainer(reader, checkpoint, schedule, {"width": width}).run("reward", loss_of)
    return load_reward(checkpoint)


def load_reward(checkpoint: Path) -> Reward:
    """The averaged weights of a checkpoint, ready to judge. Raises FileNotFoundError where there is none."""
    saved = load_checkpoint(checkpoint)
    if saved is None:
        raise FileNotFoundError(f"no reward checkpoint at {checkpoint}: run 'diffusion-probe reference train-reward'")
    reader = Reader(saved["width"])
    reader.load_state_dict(saved["average"])
    return Reward(reader).to(memory_format=torch.channels_last).eval()


def as_images(images: list[np.ndarray]) -> Tensor:
    """uint8 [64, 64, 3] pictures to float32 [batch, 3, 64, 64] in [-1, 1]."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def reading_loss(reading: Reading, examples: list[Labelled]) -> Tensor:
    """Mass per cell and in all, how well things are drawn where there are any, and the background."""
    mass = torch.from_numpy(np.stack([example.mass for example in examples]))
    drawn = torch.from_numpy(np.stack([example.drawn for example in examples]))
    weight = torch.from_numpy(np.stack([example.drawn_weight for example in examples]))
    background = torch.tensor([example.background for example in examples])
    found = reading.mass.float()
    cells = (found - mass).square().sum(dim=(1, 2, 3)).mean()
    totals = F.smooth_l1_loss(found.sum(dim=(2, 3)), mass.sum(dim=(2, 3)), beta=0.2, reduction="none").sum(dim=1).mean()
    seen = reading.drawn.float().clamp(1e-4, 1 - 1e-4)
    well = (F.binary_cross_entropy(seen, drawn, reduction="none") * weight).sum() / weight.sum().clamp(min=1)
    return 4 * cells + totals + 0.3 * well + 0.1 * F.cross_entropy(reading.background.float(), background)


@dataclass(frozen=True)
class RewardReport:
    """What validation found on captions the reward never saw."""

    exact: float  # share of clean scenes in which every count, the background and the relation are read right
    clean_quality: float  # mean quality of clean scenes
    lower_after: dict[str, float]  # per way of spoiling: share of scenes whose quality fell
    mean_after: dict[str, float]  # and their mean quality

    def text(self) -> str:
        """The report in lines."""
        lines = [f"clean held-out scenes read exactly: {self.exact:.1%}; mean quality {self.clean_quality:.3f}"]
        for name, share in self.lower_after.items():
            lines.append(f"one thing {name}: quality lower in {share:.1%}; mean {self.mean_after[name]:.3f}")
        return "\n".join(lines)


@torch.no_grad()
def validate_reward(reward: Reward, scenes: int = 1000, seed: int = 1) -> RewardReport:
    """Read clean held-out scenes, and again with one thing removed, added, swapped or smeared, or the relation turned."""
    rng = np.random.default_rng([seed, 11])
    originals = [lay_out(sample_of("test", rng), rng) for _ in range(scenes)]
    ids = pad_ids([tokenize(scene.request.caption()) for scene in originals])
    clean = as_images([scene.image() for scene in originals])
    reading = _in_batches(reward.reader, clean)
    facets = reward.facets(reading, ids)
    counts = torch.zeros(scenes, len(PICTOGRAMS))
    for row, scene in enumerate(originals):
        for group in scene.request.groups:
            counts[row, PICTOGRAMS.index(group.pictogram)] = group.count
    backgrounds = torch.tensor([list(BACKGROUNDS).index(scene.request.background) for scene in originals])
    right = (reading.mass.sum(dim=(2, 3)).round() == counts).all(dim=1)
    right &= reading.background.argmax(dim=1) == backgrounds
    right &= facets.relation > 0.5
    before = facets.quality()
    lower, mean = {}, {}
    for name, change in CHANGES.items():
        changed = [change(scene, rng) for scene in originals]
        rows = [row for row, image in enumerate(changed) if image is not None]
        images = as_images([image for image in changed if image is not None])
        after = reward.facets(_in_batches(reward.reader, images), ids[rows]).quality()
        lower[name] = (after < before[rows]).float().mean().item()
        mean[name] = after.mean().item()
    return RewardReport(right.float().mean().item(), before.mean().item(), lower, mean)


def _in_batches(reader: Reader, images: Tensor, size: int = 100) -> Reading:
    parts = [reader(part) for part in images.split(size)]
    return Reading(*(torch.cat([part[i] for part in parts]) for i in range(3)))


def _removed(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    things = list(scene.things)
    things.pop(int(rng.integers(len(things))))
    return label([(thing, False) for thing in things], scene.request.background, rng).image


def _added(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    wider = lay_out(scene.request, rng)
    for _ in range(50):  # a free place, if there is one
        x, y = (int(v) for v in rng.integers(9, 55, size=2))
        if all(max(abs(x - t.x), abs(y - t.y)) > 0.45 * (t.size + 16) for t in wider.things):
            stray = Thing(PICTOGRAMS[rng.integers(len(PICTOGRAMS))], x, y, 16)
            return label([(t, False) for t in (*wider.things, stray)], scene.request.background, rng).image
    return None


def _swapped(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    things = list(scene.things)
    index = int(rng.integers(len(things)))
    old = things[index]
    others = [name for name in PICTOGRAMS if name != old.pictogram]
    things[index] = Thing(others[rng.integers(len(others))], old.x, old.y, old.size)
    return label([(thing, False) for thing in things], scene.request.background, rng).image


def _smeared(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    index = int(rng.integers(len(scene.things)))
    canvas = label([(t, False) for i, t in enumerate(scene.things) if i != index], scene.request.background, rng).image
    spoilt = canvas.astype(np.float32)
    thing = scene.things[index]
    paste(spoilt, smear(sprite(thing.pictogram, thing.size), 0.6, rng), thing.x, thing.y)
    return spoilt.round().clip(0, 255).astype(np.uint8)


def _turned(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    if scene.request.relation is None:
        return None
    flip = (
        (lambda t: Thing(t.pictogram, 63 - t.x, t.y, t.size))
        if scene.request.relation == "left"
        else (lambda t: Thing(t.pictogram, t.x, 63 - t.y, t.size))
    )
    return label([(flip(thing), False) for thing in scene.things], scene.request.background, rng).image


CHANGES = {"removed": _removed, "added": _added, "swapped": _swapped, "smeared": _smeared, "turned": _turned}
