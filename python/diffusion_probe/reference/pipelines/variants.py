"""Variants of the small Stable Diffusion XL, for `study transfer`: what a probe meets after its training.

Functions for `--pipeline`, such as `diffusion_probe.reference.pipelines.variants:lora`, with arguments by `--load '{"rank": 4}'`.
Those that train do so at the first call, and keep the weights in `runs/variants`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLImg2ImgPipeline
from PIL import Image
from torch import Tensor, nn

from ...progress import Progress
from ...training.checkpoint import load_checkpoint
from ..scenes import SIZE
from .sdxl import SDXL
from .train import training_batch

FOLDER = "reference/pipelines/sdxl"
WEIGHTS = Path("runs/variants")
STEPS = 150
BATCH = 64
CROWDED = 4  # things in a scene, from which a caption is one of the fine-tuning
FINE_TUNING_RATE, LORA_RATE = 1e-4, 1e-3
LORA_RANK = 8
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
GREY = (128, 128, 128)


def scheduler(folder: str = FOLDER, name: str = "DPMSolverMultistepScheduler") -> DiffusionPipeline:
    """The pipeline with another scheduler of diffusers."""
    import diffusers

    pipe = _load(folder)
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    return pipe


def fine_tuned(folder: str = FOLDER, steps: int = STEPS, batch: int = BATCH) -> DiffusionPipeline:
    """The pipeline after some further training on crowded scenes alone, of all weights of the denoiser."""
    pipe = _load(folder)
    _train(pipe, dict(pipe.unet.named_parameters()), FINE_TUNING_RATE, steps, batch, WEIGHTS / f"fine-tuned-{steps}.pt")
    return pipe


def lora(folder: str = FOLDER, steps: int = STEPS, batch: int = BATCH, rank: int = LORA_RANK) -> DiffusionPipeline:
    """The pipeline with low-rank adapters in its attention (Hu et al., arXiv 2106.09685), trained on crowded scenes alone."""
    from peft import LoraConfig

    pipe = _load(folder)
    pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION))
    adapters = {name: own for name, own in pipe.unet.named_parameters() if "lora_" in name}
    _train(pipe, adapters, LORA_RATE, steps, batch, WEIGHTS / f"lora-{rank}-{steps}.pt")
    return pipe


def int8(folder: str = FOLDER) -> DiffusionPipeline:
    """The pipeline with the denoiser's weights rounded to 8 bits, with a scale per output channel."""
    pipe = _load(folder)
    with torch.no_grad():
        for module in pipe.unet.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                by_channel = module.weight.flatten(1)
                scale = by_channel.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
                module.weight.copy_(((by_channel / scale).round() * scale).view_as(module.weight))
    return pipe


def image_to_image(folder: str = FOLDER, strength: float = 0.8) -> DiffusionPipeline:
    """Image-to-image from a grey picture; the denoiser takes `strength` of the steps."""
    pipe = _FromGrey(**_load(folder).components, add_watermarker=False)
    pipe.strength = strength
    return pipe


class _FromGrey(StableDiffusionXLImg2ImgPipeline):
    """Takes the arguments that every pipeline takes, and adds the picture."""

    strength: float

    def __call__(
        self,
        prompt: list[str] | str,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        output_type: str = "pil",
    ) -> Any:
        return super().__call__(
            prompt=prompt,
            image=Image.new("RGB", (SIZE, SIZE), GREY),
            strength=self.strength,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            output_type=output_type,
        )


def _load(folder: str) -> DiffusionPipeline:
    return DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)


def _train(pipe: Any, trained: Mapping[str, nn.Parameter], rate: float, steps: int, batch: int, path: Path) -> None:
    """Train the named parameters, or load them from a file of an earlier call."""
    saved = load_checkpoint(path)
    if saved is not None:
        pipe.unet.load_state_dict(saved, strict=False)
        return
    pipe.unet.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained.values(), lr=rate)
    progress = Progress(path.stem, 0, steps)
    for step in progress:
        loss: Tensor = SDXL.loss(pipe, training_batch(SDXL, pipe.vae, 1, step, batch, lambda caption: caption.things >= CROWDED))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.note(loss=f"{loss.item():.4f}")
    pipe.unet.requires_grad_(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes that start together train alike, each to a file name of its own.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    torch.save({name: parameter.detach() for name, parameter in trained.items()}, partial)
    os.replace(partial, path)
