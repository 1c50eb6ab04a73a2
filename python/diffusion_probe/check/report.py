"""The result of a check: a line for each layer, and a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TOLERANCE = 1e-4
"""Of a probability, for weights of any dtype: capture and reference both begin with the same queries and keys."""


@dataclass(frozen=True)
class LayerResult:
    """What the check found in one layer."""

    layer: str
    shape: tuple[int, int, int]  # heads, queries, keys
    tokens: int  # that were captured
    difference: float | None  # the largest of a probability; None where the maps cannot be compared
    reason: str  # why not

    @property
    def ok(self) -> bool:
        """Whether the captured maps are right."""
        return self.difference is not None and self.difference <= TOLERANCE


@dataclass(frozen=True)
class Report:
    """The results of all layers."""

    layers: tuple[LayerResult, ...]

    @property
    def ok(self) -> bool:
        """Whether all captured maps are right."""
        return all(result.ok for result in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        layers = [{**asdict(result), "shape": list(result.shape), "ok": result.ok} for result in self.layers]
        return {"ok": self.ok, "tolerance": TOLERANCE, "layers": layers}

    def __str__(self) -> str:
        """A table and a sentence."""
        width = max(len("layer"), *(len(result.layer) for result in self.layers))
        lines = [f"{'layer':{width}}  {'heads x queries x keys':>22}  {'tokens':>6}  {'difference':>10}  ok"]
        for one in self.layers:
            shape = " x ".join(map(str, one.shape))
            difference = "-" if one.difference is None else f"{one.difference:.1e}"
            verdict = "yes" if one.ok else f"no: {one.reason}" if one.reason else "no"
            lines.append(f"{one.layer:{width}}  {shape:>22}  {one.tokens:>6}  {difference:>10}  {verdict}")
        return "\n".join([*lines, "", self.sentence])

    @property
    def sentence(self) -> str:
        """The result in words."""
        wrong = [result.layer for result in self.layers if not result.ok]
        count = len(self.layers)
        if wrong:
            return (
                f"Wrong: the maps of {len(wrong)} of {count} layers differ from the softmax of their queries and keys by "
                f"more than {TOLERANCE:g}, or are of other rows or tokens; the first is {wrong[0]}."
            )
        return f"Right: the maps of all {count} layers are those of the softmax of their queries and keys, to {TOLERANCE:g}."
