"""The parts of a training loop: learning-rate schedule, weight averaging, checkpoints that survive a kill, progress."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm


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


def trapezoid(step: int, total: int, warm_up: int, cool_down: int) -> float:
    """Learning-rate factor in (0, 1]: linear warm-up, constant, linear cool-down over the last `cool_down` steps."""
    return min(1.0, (step + 1) / max(1, warm_up), max(total - step, 1) / max(1, cool_down))


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


class Progress:
    """A progress bar over steps that first says how long the work will take, from its own first steps."""

    MEASURED_STEPS = 10
    MEASURED_SECONDS = 15.0

    def __init__(self, label: str, first: int, total: int, unit: str = "step", shown: bool = True):
        self.label, self.first, self.total, self.unit, self.shown = label, first, total, unit, shown
        self.bar = tqdm(total=total, initial=first, desc=label, unit=unit, dynamic_ncols=True, mininterval=1, disable=not shown)

    def __iter__(self) -> Iterator[int]:
        with self.bar:
            started = time.monotonic()
            measured, told = 0, False
            for step in range(self.first, self.total):
                yield step
                self.bar.update()
                if step == self.first and self.total - step > self.MEASURED_STEPS:
                    started = time.monotonic()  # the first step also compiles and fills caches
                    continue
                measured += 1
                seconds = time.monotonic() - started
                if not told and (measured >= self.MEASURED_STEPS or seconds >= self.MEASURED_SECONDS):
                    told = True
                    self._tell(seconds / measured * (self.total - step - 1))

    def note(self, **figures: object) -> None:
        """Show figures behind the bar."""
        self.bar.set_postfix({name: str(value) for name, value in figures.items()})

    def _tell(self, seconds: float) -> None:
        if self.shown and seconds >= self.MEASURED_SECONDS:
            self.bar.write(f"{self.label}: about {seconds / 60:.0f} more minutes")
