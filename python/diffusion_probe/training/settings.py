"""How a probe is trained: the settings, and the preset of the paper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """How a probe is trained."""

    steps: int = 6000
    batch_prompts: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    ranking_weight: float = 0.3
    ranking_sharpness: float = 12.0  # score difference, in units of the metric's range, to logits
    layers: tuple[str, ...] | None = None  # None: all that were captured
    signals: tuple[str, ...] = ()
    width: int = 32
    seed: int = 0
    low_share: float = 0.0  # of a batch, drawn from the lowest samples; 0: batches of whole prompts, as ranking needs
    mirror_share: float = 0.5  # of the prompts that name no side: their samples are shown mirrored
    exact_layers: int | None = None  # how many layers must be read; None: any


# As the paper of Diffusion Probe trains (arXiv 2602.23783): ten blocks, which are the twenty channels of its input, mean squared
# error alone, low scores oversampled. How it oversamples is not published: here half of a batch comes from the lowest quarter.
PAPER = {"ranking_weight": 0.0, "low_share": 0.5, "mirror_share": 0.0, "exact_layers": 10}
