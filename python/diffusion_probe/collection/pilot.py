"""`collect --layers auto`: draws some prompts with all layers captured, and chooses the layers of the data set from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ..data.collect import Worker, pending_shards
from ..data.dataset import Description
from ..data.shards import read_split, shard_path, shard_prompts, write_shard
from ..data.source import Samples
from ..evaluation.layers.choice import CHOICE_FILE, LayerChoice, choose
from ..evaluation.layers.signal import MIN_PROMPTS, MIN_SEEDS, measure_signals
from ..families import spread_over_depth
from .source import PipelineSource

AUTO = ("auto",)
ALL_LAYERS = ("*",)
SHARD_PROMPTS = 8  # small, since a killed process loses its shard and images of a real backbone are expensive
FOLDER = "all-layers"
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Pilot:
    """The first prompts of the training split, captured with all layers in a folder of their own beside the data set."""

    data: Path  # the folder of the data set
    train: int  # prompts of its training split
    seeds: dict[str, int]
    at: Sequence[int]
    prompts: int  # to look at, at most
    most: int  # layers to keep
    worker: Worker

    def __post_init__(self) -> None:
        """Raises ValueError for too few prompts or seeds, and where the folder holds a data set of other layers."""
        if self.counts["train"] < MIN_PROMPTS:
            raise ValueError(f"--layers auto looks at {self.counts['train']} training prompts: at least {MIN_PROMPTS} are needed")
        if self.seeds["train"] < MIN_SEEDS:
            raise ValueError(f"--layers auto needs --seeds of {MIN_SEEDS} or more, not {self.seeds['train']}")
        if not self.is_chosen and not self.folder.exists() and (self.data / "dataset.json").exists():
            raise ValueError(f"{self.data} holds samples whose layers were not chosen by --layers auto: use another folder")

    @property
    def folder(self) -> Path:
        """Where its samples are."""
        return self.data / FOLDER

    @property
    def counts(self) -> dict[str, int]:
        """Prompts per split."""
        return {"train": min(self.prompts, self.train)}

    @property
    def is_chosen(self) -> bool:
        """Whether the layers were chosen already, by this run or an earlier one."""
        return (self.data / CHOICE_FILE).exists()

    def announcement(self, source: PipelineSource) -> str:
        """What is about to happen, in a sentence."""
        return (
            f"Looking at all {len(source.capture.layers)} layers on {self.counts['train']} prompts to choose up to {self.most}."
        )

    def chosen(self) -> LayerChoice:
        """The choice that was made. Raises ValueError where it was made with other options."""
        choice = LayerChoice.read(self.data)
        if choice.settings != self._settings:
            raise ValueError(
                f"the layers in {self.data / CHOICE_FILE} were chosen with {choice.settings}, not {self._settings}: "
                "use the same options, or another folder"
            )
        return choice

    def choose(self, source: PipelineSource) -> None:
        """Write the choice, once the shards of all processes are there. Only the main process does; the others wait for it.

        No collective operation: those end with an error when one process waits longer than its timeout.
        """
        if not self.worker.is_main:
            _wait_until(lambda: self.is_chosen)
            return
        _wait_until(lambda: not pending_shards(source, self.folder, self.counts, shard_size=SHARD_PROMPTS))
        spread = spread_over_depth(source.capture.layers, self.most)
        choice = choose(measure_signals(read_split(self.folder, "train")), self.most, spread, self._settings)
        self._reuse(choice.kept, source)
        choice.write(self.data)

    @property
    def _settings(self) -> dict[str, object]:
        return {"prompts": self.prompts, "seeds": self.seeds["train"], "at": list(self.at), "most": self.most}

    def _reuse(self, layers: Sequence[str], source: PipelineSource) -> None:
        """Write the data set's shards that the pilot's samples fill, with the chosen layers: they are not drawn again."""
        description = Description.read(self.folder)
        indices = [description.capture.layers.index(layer) for layer in layers]
        wanted = source.prompts("train", self.train)
        for index, start in enumerate(range(0, len(wanted), SHARD_PROMPTS)):
            path = shard_path(self.folder, "train", index)
            prompts = wanted[start : start + SHARD_PROMPTS]
            if path.exists() and shard_prompts(path) == prompts:
                arrays = load_file(path)
                arrays["attention"] = np.ascontiguousarray(arrays["attention"][:, :, indices])
                self.data.mkdir(parents=True, exist_ok=True)
                write_shard(shard_path(self.data, "train", index), Samples(**arrays), prompts)
        replace(description, capture=replace(description.capture, layers=tuple(layers))).write(self.data)


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(POLL_SECONDS)
