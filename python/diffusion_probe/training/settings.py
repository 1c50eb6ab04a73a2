"""The settings of a probe's training, and the preset of the paper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """How a probe is trained. Shares lie in [0, 1]."""

    steps: int = 6000
    batch_prompts: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    ranking_weight: float = 0.3
    ranking_sharpness: float = 12.0  # logits per score difference of the metric's whole range
    layers: tuple[str, ...] | None = None  # to read; None: all captured ones
    signals: tuple[str, ...] = ()
    network: str = "full"  # or "lean"
    width: int = 32
    preview_width: int = 0  # channels of the closer look at the preview; 0: none
    preview_weight: float = 0.0  # of the loss against the metric of the preview, which a second output learns
    seed: int = 0
    low_share: float = 0.0  # of a batch, drawn from samples of low quality; at 0 a batch holds whole prompts
    mirror_share: float = 0.5  # of the prompts without "left" or "right" that are mirrored
    patience: int = 0  # checkpoints without a lower loss on held-back prompts before training stops; 0: never stop early
    exact_layers: int | None = None  # the number of layers that must be read; None: any


# Training as in the Diffusion Probe paper (arXiv 2602.23783): ten blocks (the twenty channels of its input), mean squared error
# alone, low scores oversampled. The paper does not say how it oversamples: here half of a batch comes from the lowest quarter.
PAPER = {"ranking_weight": 0.0, "low_share": 0.5, "mirror_share": 0.0, "exact_layers": 10}
