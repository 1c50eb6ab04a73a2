"""Which device a command computes on, and where it may compute in bfloat16."""

from __future__ import annotations

import torch


def device_named(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1` and so on; `auto` is cuda where there is one. Raises ValueError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the device {name} cannot be used: {reason}") from error
    return device


def mixed_precision(device: torch.device | str = "cpu") -> torch.autocast:
    """A context that computes in bfloat16 where that is faster: on accelerators, and on CPUs with AVX-512.

    On other CPUs PyTorch multiplies bfloat16 without its fast kernels: with AVX2 alone, images of the reference world
    took six times as long as in float32.
    """
    kind = torch.device(device).type
    is_faster = kind != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(kind, torch.bfloat16, enabled=is_faster)
