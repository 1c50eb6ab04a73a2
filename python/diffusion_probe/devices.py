"""Which device a command computes on."""

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
