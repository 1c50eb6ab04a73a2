"""A hash of the weights of a pipeline's components, from a sample of each tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..fingerprint import DIGITS

# Elements of each tensor, evenly spaced. A fine-tune, a fused adapter and quantised weights change nearly all elements.
SAMPLED = 64
# They do not change an image: one replaces finished images, the other belongs to image prompts.
IGNORED = ("safety_checker", "image_encoder")


def weights_of(pipe: Any) -> dict[str, str | None]:
    """By component of the pipeline, 16 hex digits of a hash of its weights; None where they cannot be read.

    Takes milliseconds, so it can be computed for each run: weights change in place when an adapter is fused.
    """
    components = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module) and name not in IGNORED}
    return {name: weights_hash(part) for name, part in sorted(components.items())}


@torch.no_grad()
def weights_hash(module: nn.Module) -> str | None:
    """The hash of names, shapes, dtypes and sampled elements of all tensors.

    None if a tensor has no data, or only a part of it, as with FSDP.

    The same on every device. Weights that are stored in another dtype give another hash.
    """
    digest = hashlib.sha256()
    samples: dict[torch.dtype, list[Tensor]] = {}
    for name, tensor in _tensors(module):
        if tensor.is_meta or hasattr(tensor, "device_mesh") or "_flat_param" in name:
            return None
        digest.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
        samples.setdefault(tensor.dtype, []).append(_sample(tensor.detach()))
    for dtype in sorted(samples, key=str):
        # One transfer from the device for each dtype.
        digest.update(torch.cat(samples[dtype]).cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:DIGITS]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and stored buffers by name. `cpu_offload` of accelerate keeps them in the hook of the module that owns them."""
    for path, owner in module.named_modules():
        held = getattr(getattr(owner, "_hf_hook", None), "weights_map", None)
        own = [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
        for name, tensor in own:
            if name in owner._non_persistent_buffers_set:
                continue
            full = f"{path}.{name}".lstrip(".").replace("_orig_mod.", "")
            yield from _parts(full, held[name] if tensor.is_meta and held is not None else tensor)


def _parts(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The tensor, or what a quantised one is made of: torchao's cannot be reshaped."""
    if not hasattr(tensor, "__tensor_flatten__") or hasattr(tensor, "device_mesh"):
        yield name, tensor
        return
    for part in tensor.__tensor_flatten__()[0]:
        yield from _parts(f"{name}.{part}", getattr(tensor, part))


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if len(flat) <= SAMPLED:
        return flat
    return flat[torch.linspace(0, len(flat) - 1, SAMPLED, device=flat.device).long()]
