"""Watches the attention of a denoiser in a sampling loop of one's own. Needs PyTorch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from ..families.errors import CaptureError
from ..families.layout import layout_by_ratio
from ..families.lookup import named_modules
from ..probe.manifest import read_manifest
from .attention_hook import read_layers
from .patched_attribute import intercepted_calls
from .ranks import Spread
from .reduction import AttentionCall, PromptRow, require_supported
from .step_maps import StepMaps

Rows = Literal["all", "first half", "last half"]


@dataclass(frozen=True)
class ObservedStep:
    """The attention of one step, for all rows that see the prompt."""

    attention: np.ndarray | None  # float16 [rows, layers, tokens, height, width]; None if a layer was not seen
    missing: tuple[str, ...]  # the layers that were not seen
    token_mask: np.ndarray  # uint8 [rows, tokens], all 1
    capture_id: str  # of the probe, whose layers these are
    model: str  # the probe, `name@version`


class AttentionObserver:
    """Reads what a probe needs from the attention of a loop's denoiser, at the probe's decision points only.

    observer = AttentionObserver("models/my-backbone/1", text=range(1, 6), size=(64, 64), rows="last half")
    with observer.watch(denoiser):
        for step, t in enumerate(timesteps, 1):
            latents = my_step(latents, t)
            if observer.due(step):
                kept = group.decide(observer.take(), step=step, timestep=float(t))
    """

    def __init__(
        self,
        probe: str | Path | Mapping[str, Any],
        text: Sequence[int],
        size: tuple[int, int],
        *,
        text_block: tuple[int, int] | None = None,
        rows: Rows = "all",
        spread: Spread | None = None,
        steps: Sequence[int] | None = None,
    ):
        """`probe`: its folder, or its manifest, such as the contract of a `Model`.

        `text`: the text positions of the prompt's tokens, one prompt for all rows. `size`: height and width of the latents in any
        unit: what counts is their ratio. `text_block`: where the text stands among queries and keys in joint attention, from and
        to; None: cross-attention, in which all keys are text. `rows`: which rows of a call see the prompt. `spread`: how the
        attention is spread over ranks. `steps`: when to observe, from 1; None: at all decision points of the probe. Raises
        ValueError for other steps, CaptureError for a probe of maps that are reduced in another way, and FileNotFoundError.
        """
        manifest = probe if isinstance(probe, Mapping) else read_manifest(Path(probe))
        capture = manifest["capture"]
        require_supported({name: value for name, value in capture.items() if name != "tokens"})  # the caller chooses those
        self._layers: tuple[str, ...] = tuple(capture["layers"])
        self._grid = capture["height"], capture["width"]
        self._capture_id = manifest["capture_id"]
        self._model = f"{manifest['name']}@{manifest['version']}"
        points = {point["step"] for point in manifest["decision_points"]}
        if not set(steps or ()) <= points:
            raise ValueError(f"steps are {list(steps or ())}: expected some of {sorted(points)}")
        self._steps = frozenset(steps or points)
        self._text = np.asarray(text, np.int64)
        if self._text.ndim != 1 or not len(self._text):
            raise ValueError("text holds no position: expected those of the prompt's tokens")
        self._size, self._block, self._rows, self._spread = size, text_block, rows, spread
        self._next = 1
        self._maps = self._no_maps()

    @contextmanager
    def watch(self, denoiser: nn.Module) -> Iterator[None]:
        """Inside the block the layers of the denoiser are read. Raises CaptureError if it lacks one."""
        modules = named_modules(denoiser)
        absent = [name for name in self._layers if name not in modules]
        if absent:
            raise CaptureError(f"the denoiser has no layer {absent[0]!r}: expected the layers {list(self._layers)}")
        layers = {name: modules[name] for name in self._layers}

        def observed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            with read_layers(layers, self._maps.add) if self.is_due else nullcontext():
                return call(*args, **kwargs)

        with intercepted_calls(denoiser, observed):
            yield

    def add(self, layer: str, query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> None:
        """Read one call of an attention of one's own, instead of `watch`. Does nothing at other steps and for other layers.

        `query`, `key`: [rows, heads, length, head_dim], as they are multiplied. `mask`: bool or added to the scores, broadcast to
        [rows, heads, queries, keys]. `scale`: of the scores; None: 1 / sqrt(head_dim).
        """
        if layer in self._layers and self.is_due:
            self._maps.add(layer, AttentionCall.of(query, key, mask, scale))

    @property
    def is_due(self) -> bool:
        """Whether the attention of the step that is being computed is read."""
        return self._next in self._steps

    def due(self, step: int) -> bool:
        """Call it after every step, from 1: whether this step is to be decided. What comes next belongs to the step after it."""
        self._next = step + 1
        if step in self._steps:
            return True
        self._maps = self._no_maps()
        return False

    def take(self) -> ObservedStep:
        """What was observed of the step for which `due` was true."""
        maps, self._maps = self._maps, self._no_maps()
        attention = None if maps.missing else maps.joined().cpu().numpy()
        mask = np.ones((0 if attention is None else len(attention), len(self._text)), np.uint8)
        return ObservedStep(attention, maps.missing, mask, self._capture_id, self._model)

    def _no_maps(self) -> StepMaps:
        return StepMaps(self._layers, self._grid, len(self._text), self._find_rows, self._spread)

    def _find_rows(self, attention: AttentionCall) -> list[PromptRow]:
        rows = range(len(attention.query))
        half = len(rows) // 2
        seeing = {"all": rows, "first half": rows[:half], "last half": rows[half:]}[self._rows]
        layout = layout_by_ratio(self._size, self._block, attention.lengths, self._spread.parts_of_image if self._spread else 1)
        keys = layout.keys(self._text)
        return [PromptRow(row, layout, keys) for row in seeing]
