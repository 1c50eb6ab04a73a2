"""Checks what an observer reads in a sampling loop of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..capture import AttentionObserver, CaptureError, ObservedStep
from ..probe.manifest import read_manifest
from .comparison import compare
from .recorder import OnCall, RecordedCall
from .report import Report


def check_observer(
    observer: AttentionObserver,
    draw: Callable[[str, int], ObservedStep],
    denoiser: nn.Module,
    probe: str | Path | Mapping[str, Any],
    size: tuple[int, int],
    encoders: Sequence[nn.Module] = (),
) -> Report:
    """Draw four times, and compare what the observer reads with the slow reference.

    `draw(prompt, seed)` runs the loop with noise of that seed up to a step that is due, and returns what `observer.take()` gives
    then; the text positions must be those of a prompt of three words. `probe`: as of the observer. `size`: the image's
    height and width, for their ratio. `encoders`: modules that get token ids and return the text that the denoiser sees.
    Where attention passed to `observer.add` is not computed by `scaled_dot_product_attention` in a module of that name, its mask
    and scale are taken as they are passed. Raises CaptureError for a layer in which prompt and image cannot be told apart.
    """
    manifest = probe if isinstance(probe, Mapping) else read_manifest(Path(probe))
    layers: list[str] = list(manifest["capture"]["layers"])
    present = dict(denoiser.named_modules())
    absent = [name for name in layers if name not in present]
    if absent:
        raise CaptureError(f"the denoiser has no layer {absent[0]!r}: expected the names of its modules")

    def read(prompt: str, seed: int, on_call: OnCall) -> np.ndarray:
        counts: dict[str, int] = {}
        add = observer.add

        def noted(layer: str, query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Any:
            if layer in layers and observer.is_due:
                counts[layer] = counts.get(layer, -1) + 1
                on_call(layer, counts[layer], RecordedCall(query, key, mask, scale))
            return add(layer, query, key, mask, scale)

        observer.due(0)  # the next step is the first
        vars(observer)["add"] = noted
        try:
            observed = draw(prompt, seed)
        finally:
            del vars(observer)["add"]
        if observed.attention is None:
            raise CaptureError(f"the layers {', '.join(observed.missing)} did not run")
        return observed.attention

    return compare(read, {name: present[name] for name in layers}, encoders, lambda: size, None, None)
