"""Which layers a data set is collected with: those with signal, some for their depth and some for their strength."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...probe.manifest import write_json
from ..text_table import text_table
from .signal import LayerSignals

CHOICE_FILE = "layers.json"
NO_SIGNAL = "no layer rises above the noise floor: the layers are spread evenly over the depth, as without auto"


@dataclass(frozen=True)
class JudgedLayer:
    """A layer, its signal, and why it was kept or not."""

    layer: str
    signal: float
    by_step: dict[str, float]
    kept: bool
    why: str


@dataclass(frozen=True)
class LayerChoice:
    """What `collect --layers auto` chose, as it stands in `layers.json`."""

    settings: dict[str, Any]  # that led to it: a choice of others is another choice
    prompts: int  # whose qualities are all known
    noise_floor: float
    any_signal: bool
    layers: tuple[JudgedLayer, ...]  # in the backbone's order

    @property
    def kept(self) -> list[str]:
        """Names of the kept layers, in the backbone's order."""
        return [judged.layer for judged in self.layers if judged.kept]

    def write(self, folder: Path) -> None:
        """Write `layers.json`, whole or not at all."""
        write_json(folder / CHOICE_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> LayerChoice:
        """Read `layers.json`. Raises FileNotFoundError without one and ValueError for one that is not valid."""
        path = folder / CHOICE_FILE
        fields: Mapping[str, Any] = {}
        try:
            fields = json.loads(path.read_text())
            return cls(**{**fields, "layers": tuple(JudgedLayer(**judged) for judged in fields["layers"])})
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not valid, delete it to choose again: {type(error).__name__}: {error}") from error


def choose(signals: LayerSignals, most: int, spread: tuple[str, ...], settings: Mapping[str, Any]) -> LayerChoice:
    """Choose at most `most` layers, all above the noise floor.

    Half of the places go to the strongest layer of each part of the depth, because a layer near a chosen one mostly repeats it;
    the other half go to the strongest of the rest. `spread`: the layers to take where none is above the floor. `settings`: kept.
    """
    strength = signals.mean
    why = ["below the noise floor" if value <= signals.noise_floor else "weaker than the kept ones" for value in strength]
    above = [index for index in np.argsort(-strength, kind="stable").tolist() if strength[index] > signals.noise_floor]
    kept: list[int] = []
    for part in np.array_split(np.arange(len(strength)), min(len(strength), -(-most // 2))):
        strongest = next((index for index in above if index in part), None)
        if strongest is not None:
            kept.append(strongest)
            why[strongest] = f"strongest of layers {part[0] + 1} to {part[-1] + 1}"
    for index in [index for index in above if index not in kept][: most - len(kept)]:
        kept.append(index)
        why[index] = "strongest of the rest"
    if not above:
        kept = [signals.layers.index(layer) for layer in spread]
        for index in kept:
            why[index] = "no layer has signal: spread over the depth"
    judged = tuple(
        JudgedLayer(
            layer,
            round(float(strength[index]), 4),
            {str(step): round(float(value), 4) for step, value in zip(signals.steps, signals.by_step[index], strict=True)},
            index in kept,
            why[index],
        )
        for index, layer in enumerate(signals.layers)
    )
    return LayerChoice(dict(settings), signals.prompts, round(signals.noise_floor, 4), bool(above), judged)


def choice_text(choice: LayerChoice) -> str:
    """The table of all layers and what was chosen, for a terminal."""
    steps = list(choice.layers[0].by_step)
    lines = [("", "layer", "signal", *(f"step {step}" for step in steps), "kept", "why")]
    for number, judged in enumerate(choice.layers, 1):
        figures = [f"{value:.3f}" for value in (judged.signal, *judged.by_step.values())]
        lines.append((str(number), judged.layer, *figures, "yes" if judged.kept else "-", judged.why))
    head = (
        f"Signal within prompts (mean Spearman correlation on held-out prompts) of {len(choice.layers)} layers, "
        f"{choice.prompts} prompts; noise floor {choice.noise_floor:.3f}"
    )
    kept = f"Kept {len(choice.kept)} of {len(choice.layers)} layers" + ("." if choice.any_signal else f", but {NO_SIGNAL}.")
    return "\n\n".join([head, text_table(lines), kept])
