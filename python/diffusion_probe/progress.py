"""A progress bar on the terminal that also says how long the work will take."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tqdm import tqdm


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
