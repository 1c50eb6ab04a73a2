"""The pipelines' autoencoders: built small, trained on scenes, and normalised by what their latents turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLQwenImage
from torch import Tensor

from ...training.loop import Schedule, TrainingLoop
from ..corruption import sample_labelled_image
from ..scenes import lay_out
from ..splits import sample_caption
from ..train_reward import as_images
from .precision import training_precision

ENCODED_TOGETHER = 32
LEARNING_RATE = 1.5e-3
DIVERGENCE_WEIGHT = 1e-4
SPOILT_SHARE = 0.25  # of the images: a denoiser's failures have to pass through the decoder too
MEASURED_SCENES = 256
ARCHITECTURE = (
    "block_out_channels",
    "latent_channels",
    "base_dim",
    "z_dim",
)  # members of the configuration that checkpoints name
Autoencoder = AutoencoderKL | AutoencoderKLQwenImage


def autoencoder(kind: type[Autoencoder], width: int, channels: int) -> Autoencoder:
    """An autoencoder with random weights that divides height and width by 4.

    `width`: its channels at full resolution, then twice and four times as many. `channels`: of its latents.
    """
    if kind is AutoencoderKLQwenImage:
        return kind(
            base_dim=width,
            z_dim=channels,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.0] * channels,
            latents_std=[1.0] * channels,
        )
    return kind(
        block_out_channels=(width, 2 * width, 4 * width),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=channels,
        norm_num_groups=8,
        mid_block_add_attention=False,
        force_upcast=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def train_autoencoder(
    model: Autoencoder,
    checkpoint: Path,
    steps: int,
    seed: int = 0,
    batch: int = 32,
    fresh: bool = False,
    bfloat16: bool = False,
) -> None:
    """Train up to `steps`, from the checkpoint unless `fresh`; the model then has the averaged weights and normalised latents.

    Absolute and squared error of the pixels, and the divergence of latents from a normal distribution with a small weight (as in
    Rombach et al. 2022, without adversarial and perceptual losses).
    """
    schedule = Schedule(
        steps, LEARNING_RATE, warm_up_steps=100, cool_down_share=0.4, save_every=250, ema_decay=0.998, weight_decay=0.0
    )

    def loss_of(step: int) -> Tensor:
        images = training_images(seed, step, batch)
        with training_precision(bfloat16):
            found = model.encode(_framed(model, images)).latent_dist
            latents = found.sample(torch.Generator().manual_seed(seed * 1_000_003 + step))
            drawn = _unframed(model, model.decode(latents).sample).float()
            divergence = 0.5 * (found.mean.square() + found.var - 1 - found.logvar).float().mean()
            return F.l1_loss(drawn, images) + F.mse_loss(drawn, images) + DIVERGENCE_WEIGHT * divergence

    architecture = {name: model.config[name] for name in ARCHITECTURE if name in model.config}
    settings = {"seed": seed, "batch": batch, "autoencoder": type(model).__name__, "bfloat16": bfloat16, **architecture}
    loop = TrainingLoop(model, checkpoint, schedule, settings, {}, fresh=fresh)
    loop.run("autoencoder", loss_of)
    model.load_state_dict(loop.average.state)
    model.eval().requires_grad_(False)
    normalise_latents(model, training_images(seed, -1, MEASURED_SCENES))


def training_images(seed: int, step: int, batch: int) -> Tensor:
    """Scenes, some of them with mistakes: float32 [batch, 3, 64, 64] in [-1, 1]. `step` -1 is that of the measurement."""
    rng = np.random.default_rng([seed, 21, step + 1])
    spoilt = rng.random(batch) < SPOILT_SHARE
    scenes = [sample_labelled_image(rng).image if bad else lay_out(sample_caption(rng, "world"), rng).image() for bad in spoilt]
    return as_images(scenes)


@torch.no_grad()
def normalise_latents(model: Autoencoder, images: Tensor) -> None:
    """Write into the configuration what gives latents of these images mean 0 and standard deviation 1.

    Per channel where the class has `latents_mean` and `latents_std` and its pipeline reads them; FLUX reads `shift_factor` and
    `scaling_factor`, one number each.
    """
    latents = torch.cat([_latents(model, part) for part in images.split(ENCODED_TOGETHER)])
    if isinstance(model, AutoencoderKLQwenImage) or latents.shape[1] == 4:
        mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        model.register_to_config(latents_mean=mean.tolist(), latents_std=deviation.tolist())
    else:
        model.register_to_config(shift_factor=float(latents.mean()), scaling_factor=1 / float(latents.std()))


@torch.no_grad()
def encode(model: Autoencoder, images: Tensor) -> Tensor:
    """Normalised latents [batch, channels, height / 4, width / 4] of images [batch, 3, height, width] in [-1, 1]."""
    latents, scale = _latents(model, images), _scale_of(model)
    return (latents - scale.mean) / scale.deviation


@torch.no_grad()
def decode(model: Autoencoder, latents: Tensor) -> Tensor:
    """Images in [-1, 1] of normalised latents."""
    scale = _scale_of(model)
    return _unframed(model, model.decode(_framed(model, latents * scale.deviation + scale.mean)).sample).clamp(-1, 1)


@dataclass(frozen=True)
class _Scale:
    mean: Tensor  # [1, channels or 1, 1, 1]
    deviation: Tensor


def _scale_of(model: Autoencoder) -> _Scale:
    config = model.config
    if config.get("latents_mean") is not None:
        mean, deviation = config.latents_mean, config.latents_std
    else:
        mean, deviation = [config.shift_factor], [1 / config.scaling_factor]
    return _Scale(*(torch.tensor(values)[None, :, None, None] for values in (mean, deviation)))


def _latents(model: Autoencoder, images: Tensor) -> Tensor:
    return _unframed(model, model.encode(_framed(model, images)).latent_dist.mode())


def _framed(model: Autoencoder, images: Tensor) -> Tensor:
    """With an axis for the frames of a video where the class wants one."""
    return images[:, :, None] if isinstance(model, AutoencoderKLQwenImage) else images


def _unframed(model: Autoencoder, images: Tensor) -> Tensor:
    return images[:, :, 0] if isinstance(model, AutoencoderKLQwenImage) else images
