"""The training loop of probe, backbone and reward: optimizer steps, averaged weights, checkpoints that it can resume from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..progress import Progress
from .checkpoint import WeightAverage, load_checkpoint, save_checkpoint

LARGEST_GRADIENT = 1.0
CPU = torch.device("cpu")
SMOOTHING = 0.98  # of the displayed loss: weight of its previous value


@dataclass(frozen=True)
class Schedule:
    """How long to train, at which learning rate, and when to save."""

    steps: int
    learning_rate: float  # its peak
    warm_up_steps: int
    cool_down_share: float
    save_every: int
    ema_decay: float
    weight_decay: float
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: Collection[int] = ()  # steps at which a copy of the checkpoint is kept

    def rate(self, step: int) -> float:
        """The learning rate at a step, counted from 0."""
        factor = trapezoid(step, self.steps, self.warm_up_steps, int(self.steps * self.cool_down_share))
        return self.learning_rate * factor


class TrainingLoop:
    """Trains a model with AdamW from where its checkpoint ends, or from its first step without a checkpoint."""

    def __init__(
        self, model: nn.Module, checkpoint: Path, schedule: Schedule, metadata: dict[str, Any], device: torch.device = CPU
    ):
        """`metadata` is written into the checkpoint beside the weights. The model is moved to the device."""
        model.to(device)
        self.model, self.checkpoint, self.schedule, self.metadata = model, checkpoint, schedule, metadata
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=schedule.learning_rate, betas=schedule.betas, weight_decay=schedule.weight_decay, fused=True
        )
        self.average = WeightAverage(model, schedule.ema_decay)
        self.first = 0
        saved = load_checkpoint(checkpoint)
        if saved:
            model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average.state = {name: value.to(device) for name, value in saved["average"].items()}
            self.first = saved["step"]

    def run(
        self, label: str, loss_of: Callable[[int], Tensor], on_save: Callable[[int, float, Progress], None] | None = None
    ) -> None:
        """Take the remaining steps. `loss_of` computes the loss of a step; `on_save` is called after each checkpoint."""
        schedule = self.schedule
        progress = Progress(label, self.first, schedule.steps)
        recent = 0.0
        for step in progress:
            loss = self._step(step, loss_of)
            recent = loss if step == self.first else SMOOTHING * recent + (1 - SMOOTHING) * loss
            if step % 20 == 0:
                progress.note(loss=f"{recent:.4f}")
            done = step + 1
            if done % schedule.save_every == 0 or done == schedule.steps or done in schedule.milestones:
                self._save(done)
                if on_save:
                    on_save(done, recent, progress)

    def _step(self, step: int, loss_of: Callable[[int], Tensor]) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step)
        loss = loss_of(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model, step)
        return loss.item()

    def _save(self, done: int) -> None:
        state = {
            **self.metadata,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state,
            "step": done,
        }
        save_checkpoint(self.checkpoint, state)
        if done in self.schedule.milestones:
            save_checkpoint(self.checkpoint.with_name(f"{self.checkpoint.stem}-{done}{self.checkpoint.suffix}"), state)


def trapezoid(step: int, total: int, warm_up: int, cool_down: int) -> float:
    """Learning-rate factor in (0, 1]: linear warm-up, constant, linear cool-down over the last `cool_down` steps."""
    return min(1.0, (step + 1) / max(1, warm_up), max(total - step, 1) / max(1, cool_down))
