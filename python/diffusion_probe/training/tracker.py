"""Writes the figures of a training for a tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def tracker(name: str | None, checkpoint: Path, settings: dict[str, Any]) -> Iterator[Callable[[dict[str, float], int], None]]:
    """A function that logs the figures of a step to `tensorboard` beside the checkpoint, or nowhere for None.

    Raises ValueError where a package is missing.
    """
    if name is None:
        yield lambda *_: None
        return
    try:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()  # accelerate's trackers ask it which process writes
        run = LOGGER_TYPE_TO_CLASS[name](checkpoint.stem, logging_dir=checkpoint.parent / name)
        run.start()
    except ModuleNotFoundError as error:
        raise ValueError(f"--track {name} needs the package {error.name}: pip install 'diffusion-probe[track]'") from error
    run.store_init_configuration(
        {key: value if isinstance(value, int | float) else str(value) for key, value in settings.items()}
    )
    try:
        yield lambda figures, step: run.log(figures, step=step)
    finally:
        run.finish()
