"""The training loop of probe, backbone and reward: optimizer steps, averaged weights, checkpoints that it can resume from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..conditions.differences import describe_differences, differences
from ..progress import Progress
from .checkpoint import WeightAverage, load_checkpoint, require_finite, save_checkpoint
from .muon import MuonAndAdamW

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
    muon: bool = False  # for the matrices inside of a transformer

    def rate(self, step: int) -> float:
        """The learning rate at a step, counted from 0."""
        factor = trapezoid(step, self.steps, self.warm_up_steps, int(self.steps * self.cool_down_share))
        return self.learning_rate * factor


class TrainingLoop:
    """Trains a model from where its checkpoint ends, or from its first step without a checkpoint."""

    def __init__(
        self,
        model: nn.Module,
        checkpoint: Path,
        schedule: Schedule,
        settings: dict[str, Any],
        metadata: dict[str, Any],
        device: torch.device = CPU,
        fresh: bool = False,
    ):
        """`settings` are all that the weights depend on beside the schedule's steps and the code.

        They and `metadata` are written into the checkpoint beside the weights. The model is moved to the device. `fresh`: begin
        anew, and overwrite a checkpoint. Raises ValueError for a checkpoint of other settings, or of weights that are not finite.
        """
        model.to(device)
        metadata = {**metadata, "settings": {**settings, "steps": schedule.steps, "code": __version__}}
        self.model, self.checkpoint, self.schedule, self.metadata = model, checkpoint, schedule, metadata
        options = {"lr": schedule.learning_rate, "weight_decay": schedule.weight_decay, "betas": schedule.betas}
        self.optimizer: MuonAndAdamW | torch.optim.AdamW
        if schedule.muon:
            self.optimizer = MuonAndAdamW(model, **options)
        else:
            self.optimizer = torch.optim.AdamW(model.parameters(), **options, fused=True)
        self.average = WeightAverage(model, schedule.ema_decay)
        self.first = 0
        saved = None if fresh else load_checkpoint(checkpoint)
        if saved:
            self._require_same(saved)
            model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average.state = {name: value.to(device) for name, value in saved["average"].items()}
            self.first = saved["step"]
            self.metadata.update({name: saved[name] for name in ("kept", "tally") if name in saved})

    def _require_same(self, saved: dict[str, Any]) -> None:
        """Other steps are the same training while the learning rates of the steps taken are the same."""
        before, now = saved.get("settings", {}), self.metadata["settings"]
        planned = replace(self.schedule, steps=before.get("steps", 0))
        taken = range(saved["step"])
        if len(taken) <= self.schedule.steps and all(planned.rate(step) == self.schedule.rate(step) for step in taken):
            before = {**before, "steps": now["steps"]}
        different = differences(now, before)
        if different:
            raise ValueError(
                f"{self.checkpoint} is of another training: {describe_differences(different)}. Begin anew with --fresh"
            )

    def run(
        self,
        label: str,
        loss_of: Callable[[int], Tensor],
        on_save: Callable[[int, float, Progress], bool] = lambda *_: False,
        log: Callable[[dict[str, float], int], None] = lambda *_: None,
    ) -> None:
        """Take the remaining steps. `loss_of` computes the loss of a step, and `log` receives figures of a step.

        `on_save` is called before each checkpoint; training ends with that checkpoint if it returns True. Raises ValueError
        for a loss, gradient or weight that is not finite; the checkpoint stays as it was.
        """
        schedule = self.schedule
        progress = Progress(label, self.first, schedule.steps)
        recent = 0.0
        for step in progress if not self.metadata.get("kept", {}).get("stopped") else ():
            loss = self._step(step, loss_of)
            recent = loss if step == self.first else SMOOTHING * recent + (1 - SMOOTHING) * loss
            if step % 20 == 0:
                progress.note(loss=f"{recent:.4f}")
                log({"loss": recent, "learning_rate": schedule.rate(step)}, step)
            done = step + 1
            if done % schedule.save_every == 0 or done == schedule.steps or done in schedule.milestones:
                for weights in (self.model.state_dict(), self.average.state):
                    require_finite(weights, f"after step {done}: no further checkpoint was written")
                stopped = on_save(done, recent, progress)
                self._save(done)
                if stopped:
                    break

    def _step(self, step: int, loss_of: Callable[[int], Tensor]) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step) * group.get("rate_ratio", 1)
        loss = loss_of(step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        if not (loss + norm).isfinite():
            what = "gradient" if loss.isfinite() else "loss"
            raise ValueError(f"the {what} of step {step} (from 0) is not finite: no further checkpoint was written")
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
