"""What a pipeline is made of, and how its denoiser is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

LATENT_SIDE = 16  # latents of a scene are [channels, 16, 16]: the autoencoders divide its 64 pixels by 4
SHIFT = 1 / 3  # of noise levels, see docs/adr/0049-small-pipelines-of-three-families.md


@dataclass(frozen=True)
class Sizes:
    """How large the parts of a pipeline are."""

    denoiser: int  # width of the transformer, or of the UNet at 8x8
    blocks: int  # joint blocks of the transformer, or transformer blocks in each attention module of the UNet
    text: int  # width of the widest text encoder
    autoencoder: int  # channels of the autoencoder at 64x64


@dataclass(frozen=True)
class Batch:
    """The input of a loss."""

    latents: Tensor  # float32 [batch, channels, 16, 16], normalised
    captions: Sequence[str]
    dropped: Tensor  # bool [batch]: the caption is hidden, for classifier-free guidance
    times: Tensor  # float32 [batch] in [0, 1]: 0 is the image, 1 is noise
    noise: Tensor  # like latents


@dataclass(frozen=True)
class Recipe:
    """A pipeline, the sizes of its parts, its loss, and how it is called."""

    name: str
    sizes: Sizes
    build: Callable[[Sizes], Any]  # with random weights
    loss: Callable[[Any, Batch], Tensor]  # of the pipeline on a batch: a scalar
    trained: tuple[str, ...]  # the components that are trained jointly, the denoiser first
    steps: int  # of training, by default
    sentences: float  # share of the captions in several sentences, in [0, 1]
    muon: bool  # trains the matrices of a transformer with Muon
    call: Mapping[str, Any]  # arguments of a call beside prompt, steps and generator

    def trained_parts(self, pipe: Any) -> nn.ModuleDict:
        """The components that are trained, as one module."""
        return nn.ModuleDict({name: getattr(pipe, name) for name in self.trained})


def hidden(captions: Sequence[str], dropped: Tensor, empty: str) -> list[str]:
    """The captions with `empty` for those that are dropped."""
    return [empty if none else caption for caption, none in zip(captions, dropped.tolist(), strict=True)]


def zero(*layers: nn.Module) -> None:
    """Set weights and biases to 0: a block whose gate is 0 begins as the identity (Peebles and Xie 2023, adaLN-Zero)."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
