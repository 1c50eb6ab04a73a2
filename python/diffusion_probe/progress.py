"""The progress bar of every long command, on stderr."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm


class Progress:
    """A progress bar over the steps `first` to `total` - 1, with the elapsed and the remaining time."""

    def __init__(self, label: str, first: int, total: int, unit: str = "step", shown: bool = True):
        self.first, self.total = first, total
        self.bar = tqdm(total=total, initial=first, desc=label, unit=unit, dynamic_ncols=True, mininterval=1, disable=not shown)

    def __iter__(self) -> Iterator[int]:
        with self.bar:
            for step in range(self.first, self.total):
                yield step
                self.bar.update()

    def note(self, **figures: object) -> None:
        """Show figures behind the bar."""
        self.bar.set_postfix({name: str(value) for name, value in figures.items()})
