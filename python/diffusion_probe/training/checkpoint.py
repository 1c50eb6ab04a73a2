"""Writes and reads checkpoints, averages weights, and loads a trained probe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..probe.blocks import Network
from ..probe.config import ProbeConfig
from ..probe.networks import build_network


class WeightAverage:
    """An exponential moving average of a module's weights, which evaluation and export use."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's weights. `step` counts from 0; a lower decay in early steps lets the initial weights fade."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint. A process killed while writing leaves the previous file intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None when the file does not exist. Raises ValueError when its weights are not finite."""
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for part in ("model", "average"):
        require_finite(saved.get(part, {}), f"in {path}: train again with --fresh")
    return saved


def require_finite(weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Raises ValueError, with the name of the weight, when one holds a value that is not finite."""
    for name, value in weights.items():
        if not value.isfinite().all():
            raise ValueError(f"the weight {name} is not finite {where}")


def require_checkpoint(path: Path, name: str, command: str) -> dict[str, Any]:
    """The checkpoint. Raises FileNotFoundError, with the command that writes it, when the file does not exist."""
    saved = load_checkpoint(path)
    if saved is None:
        raise FileNotFoundError(f"no {name} checkpoint at {path}: run 'diffusion-probe {command}' first")
    return saved


def keep_best(metadata: dict[str, Any], done: int, loss: float, patience: int, average: dict[str, Tensor]) -> bool:
    """Keep the averaged weights of the lowest loss; True after `patience` checkpoints in a row without a lower one."""
    kept = metadata.get("kept")
    if kept is None or loss < kept["loss"]:
        weights = {name: value.clone() for name, value in average.items()}
        kept = {"step": done, "loss": loss, "average": weights, "later": 0, "last": done}
    else:
        kept = {**kept, "later": kept["later"] + 1, "last": done}
    metadata["kept"] = {**kept, "stopped": kept["later"] >= patience}
    return metadata["kept"]["stopped"]


def load_probe(checkpoint: Path) -> tuple[Network, tuple[str, ...]]:
    """A trained probe with the averaged weights that training kept, and the layers it reads.

    Raises FileNotFoundError without a checkpoint.
    """
    saved = require_checkpoint(checkpoint, "probe", "train")
    probe = build_network(ProbeConfig.from_dict(saved["config"]))
    probe.load_state_dict(saved.get("kept", saved)["average"])
    return probe.eval(), tuple(saved["layers"])


def kept_reason(step: int, kept: Mapping[str, Any] | None) -> str:
    """Which weights are kept and why, as a sentence. `step`: the last; `kept`: of the best checkpoint, None without patience."""
    if kept is None:
        return f"kept the weights of step {step}: the last step, since --patience 0 does not choose by held-back prompts"
    end = f"; stopped early at step {kept['last']}" if kept["stopped"] else ""
    return f"kept the weights of step {kept['step']}: their loss on the held-back prompts is the lowest, {kept['loss']:.5g}{end}"


def training_of(checkpoint: Path) -> dict[str, Any]:
    """What a probe's manifest says about its training. Raises FileNotFoundError without a checkpoint.

    `kept`: which weights are kept and why, as one sentence. `training_prompts`: how many prompts of known quality it was trained
    on, the held-back tenth included; None for a checkpoint of version 0.3 or before.
    """
    saved = require_checkpoint(checkpoint, "probe", "train")
    return {"kept": kept_reason(saved["step"], saved.get("kept")), "training_prompts": saved.get("prompts")}
