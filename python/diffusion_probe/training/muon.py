"""Muon for the matrices of a transformer, and AdamW for everything else, as one optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

RATE_RATIO = 2.5  # Muon's learning rate as a multiple of AdamW's, see docs/adr/0049-small-pipelines-of-three-families.md
AT_THE_ENDS = ("embed", "transformer.proj_out")  # layers that read inputs or write the output


class MuonAndAdamW:
    """Trains the weights of the inner linear layers with Muon (Jordan et al. 2024), whose updates are nearly orthogonal.

    Its updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982). It has the methods of an optimizer that
    TrainingLoop calls.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float, betas: tuple[float, float]):
        inner = [
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and not any(part in name for part in AT_THE_ENDS)
        ]
        known = {id(weight) for weight in inner}
        others = [parameter for parameter in model.parameters() if id(parameter) not in known]
        muon = torch.optim.Muon(inner, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        for group in muon.param_groups:
            group["rate_ratio"] = RATE_RATIO
        adamw = torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        self.parts: dict[str, torch.optim.Optimizer] = {"muon": muon, "adamw": adamw}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self) -> None:
        """Update all weights."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
