"""Chooses the device of a command, and whether to compute in bfloat16."""

from __future__ import annotations

import torch


def device_named(name: str) -> torch.device:
    """The device `cpu`, `cuda`, `cuda:1` ...; `auto` is cuda if available, else cpu. Raises ValueError for a missing device."""
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
    """An autocast context with bfloat16 where that is faster: on accelerators, and on CPUs with AVX-512.

    See docs/adr/0016-bfloat16-only-where-it-is-faster.md.
    """
    kind = torch.device(device).type
    is_faster = kind != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(kind, torch.bfloat16, enabled=is_faster)
