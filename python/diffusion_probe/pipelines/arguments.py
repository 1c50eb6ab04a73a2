"""The arguments of a pipeline's call for one image per pair of prompt and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

# Arguments of a pipeline that are set here; `call` may hold any other.
OWN_ARGUMENTS = ("prompt", "num_images_per_prompt", "num_inference_steps", "generator", "output_type", "return_dict")


def require_free(call: Mapping[str, Any], setter: str) -> None:
    """Raises ValueError where `call` has one of `OWN_ARGUMENTS`. `setter`: who sets these, for the message."""
    taken = sorted(set(call) & set(OWN_ARGUMENTS))
    if taken:
        raise ValueError(f"the argument {taken[0]} of the pipeline is set by {setter}")


def image_per_prompt(call: Mapping[str, Any], prompts: Sequence[str], seeds: Sequence[int], steps: int) -> dict[str, Any]:
    """The arguments of a pipeline for one image per pair of prompt and seed. `call`: further ones; `steps`: denoising steps."""
    negative = call.get("negative_prompt")
    return {
        **call,
        **({"negative_prompt": [negative] * len(prompts)} if isinstance(negative, str) else {}),  # some need one per prompt
        "prompt": list(prompts),
        "num_images_per_prompt": 1,
        "num_inference_steps": steps,
        "generator": [noise_generator(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)],
        "output_type": "pil",
    }


def noise_generator(prompt: str, seed: int) -> torch.Generator:
    """The CPU generator of an image's initial noise: the same on every device, and different for each prompt and seed."""
    digest = hashlib.sha256(f"{prompt}\n{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
