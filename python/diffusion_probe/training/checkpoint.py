"""Checkpoints that survive a kill, the weight average that they hold, and the trained probe that is read back from one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..probe.network import Probe, ProbeConfig


class WeightAverage:
    """An exponential moving average of a module's floating-point state, for evaluation and export."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module; early steps move faster, so that the random start is soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None where there is none yet."""
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)


def load_probe(checkpoint: Path) -> tuple[Probe, tuple[str, ...]]:
    """A trained probe with its averaged weights, and the layers it reads. Raises FileNotFoundError where there is none."""
    saved = load_checkpoint(checkpoint)
    if saved is None:
        raise FileNotFoundError(f"no probe checkpoint at {checkpoint}: run 'diffusion-probe train' first")
    probe = Probe(ProbeConfig.from_dict(saved["config"]))
    probe.load_state_dict(saved["average"])
    return probe.eval(), tuple(saved["layers"])
