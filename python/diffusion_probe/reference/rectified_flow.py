"""Rectified flow: noise levels, training pairs, and an Euler sampler with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import TIMESTEPS, Backbone, text_mask_of, unconditional_ids

STEPS = 25
GUIDANCE = 3.0
# Time shift of the noise levels, as in SD3 and FLUX; below 1 for small images. The input of step 5 of 25 has a noise level of
# 0.78. Frozen: all figures of the probes depend on it.
SHIFT = 0.67


def noise_level(u: Tensor, shift: float = SHIFT) -> Tensor:
    """The noise level in [0, 1] at time `u` in [0, 1]."""
    return shift * u / (1 + (shift - 1) * u)


def noise_levels(steps: int = STEPS, shift: float = SHIFT) -> Tensor:
    """The noise level at the input of each step, then 0: float32 [steps + 1]."""
    return noise_level(1 - torch.arange(steps + 1, dtype=torch.float64) / steps, shift).float()


def stratified_times(batch: int, generator: torch.Generator) -> Tensor:
    """Times, float32 [batch], in random order: one in each of `batch` equal parts of [0, 1]."""
    times = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    return times[torch.randperm(batch, generator=generator)]


def training_pair(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, their timesteps [batch], and the velocity to predict, for images [batch, 3, size, size] in [-1, 1].

    Times are stratified over the batch.
    """
    sigma = noise_level(stratified_times(images.shape[0], generator))
    noise = torch.randn(images.shape, generator=generator)
    mix = sigma[:, None, None, None]
    return (1 - mix) * images + mix * noise, sigma * TIMESTEPS, noise - images


@dataclass(frozen=True)
class StepOutput:
    """The output of one denoiser call: `index` counts from 1; `preview` is the denoised image predicted from this step."""

    index: int
    sigma: float
    maps: list[Tensor]  # per layer [batch, heads, cells, tokens], of the conditional pass
    preview: Tensor  # [batch, 3, size, size]
    guidance_difference: Tensor  # [batch]: mean square of conditional minus unconditional velocity


@dataclass(frozen=True)
class Text:
    """Captions as the denoiser reads them: those of the samples, then as many empty ones."""

    states: Tensor  # [2 * batch, tokens, text_width]
    mask: Tensor  # uint8 [2 * batch, tokens]

    @classmethod
    def of(cls, backbone: Backbone, ids: Tensor) -> Text:
        """`ids`: padded, [batch, tokens]."""
        both = torch.cat([ids, unconditional_ids(*ids.shape)])
        mask = text_mask_of(both)
        return cls(backbone.text_encoder(both, mask), mask)

    def rows(self, rows: Tensor) -> Text:
        """Those of some samples, given by their indices."""
        both = torch.cat([rows, rows + len(self.mask) // 2])
        return Text(self.states[both], self.mask[both])


def guided_velocity(
    backbone: Backbone, latents: Tensor, sigma: float, text: Text, guidance: float
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The velocity with guidance, float32; the difference that guidance makes; and the conditional half's maps."""
    batch = len(latents)
    timestep = torch.full((2 * batch,), sigma * TIMESTEPS)
    velocity, maps = backbone.denoiser(torch.cat([latents, latents]), timestep, text.states, text.mask)
    conditional, unconditional = velocity.float().chunk(2)
    difference = conditional - unconditional
    return unconditional + guidance * difference, difference, [layer[:batch] for layer in maps]


def step_output(index: int, sigma: float, latents: Tensor, guided: Tensor, difference: Tensor, maps: list[Tensor]) -> StepOutput:
    """Of a step whose input was `latents` at the level `sigma`; the others are those of `guided_velocity`."""
    preview = (latents - sigma * guided).clamp(-1, 1)
    return StepOutput(index, sigma, maps, preview, difference.square().mean(dim=(1, 2, 3)))


@torch.no_grad()
def sample(
    backbone: Backbone,
    input_ids: Tensor,
    latents: Tensor,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    shift: float = SHIFT,
    on_step: Callable[[StepOutput], Sequence[int] | None] | None = None,
    capture_steps: frozenset[int] = frozenset(),
    last: int | None = None,
) -> Tensor:
    """Denoise `latents` [batch, 3, size, size] for padded `input_ids` [batch, tokens]: images in [-1, 1].

    `on_step` is called at the steps in `capture_steps`, which count from 1. It may return the rows of the batch to go on with:
    later steps, and the result, are of these alone; without any the run ends at once. `last`: stop after this step, by default
    the last one; the images are then not finished.
    """
    text = Text.of(backbone, input_ids)
    sigmas = noise_levels(steps, shift)
    x = latents
    for index in range(1, (last or steps) + 1):
        sigma, following = sigmas[index - 1], sigmas[index]
        guided, difference, maps = guided_velocity(backbone, x, float(sigma), text, guidance)
        kept = None
        if on_step is not None and index in capture_steps:
            kept = on_step(step_output(index, float(sigma), x, guided, difference, maps))
        x = x + (following - sigma) * guided
        if kept is not None and not len(kept):
            return x[:0]
        if kept is not None and len(kept) < len(x):
            rows = torch.as_tensor(list(kept))
            x, text = x[rows], text.rows(rows)
    return x.clamp(-1, 1)
