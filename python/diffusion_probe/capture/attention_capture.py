"""Runs a diffusers pipeline and captures the attention of some layers at some steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..families.lookup import choose_layers, family_of
from ..probe.manifest import Capture
from .capture_run import CaptureRun
from .reduction import REDUCTIONS, Reduce, reduce_rows, require_supported

GRID = (16, 16)


class AttentionCapture:
    """Captures attention from a pipeline: `run = AttentionCapture(pipe, steps=[5])("a cat", num_images_per_prompt=8)`.

    `run.output` equals the pipeline's own output bit for bit: queries and keys are only read, and steps other than `steps` run
    unchanged. A compiled denoiser runs the captured steps uncompiled, so its output is equal up to rounding.
    """

    def __init__(
        self,
        pipe: Any,
        layers: Sequence[str] | None = None,
        steps: Sequence[int] = (5,),
        grid: tuple[int, int] = GRID,
        reduce: Reduce = reduce_rows,
    ):
        """`layers`: full names or patterns; None: ten, spread evenly over the depth. `steps`: counted from 1.

        `grid`: height and width of the maps. `reduce`: for studies; a probe reads the maps of `reduce_rows` alone. Raises
        CaptureError for a pipeline or layer that is not supported.
        """
        self.pipe = pipe
        self.layers = choose_layers(pipe, layers)
        self.steps = tuple(sorted(set(steps)))
        self.reduce = reduce
        self.settings = Capture(family_of(pipe).name, self.layers, *grid, **REDUCTIONS)

    @classmethod
    def for_probe(cls, pipe: Any, capture: Capture, steps: Sequence[int]) -> AttentionCapture:
        """Capture as a probe's manifest says. Raises CaptureError if its maps are reduced in an unsupported way."""
        require_supported(asdict(capture))
        return cls(pipe, capture.layers, steps, (capture.height, capture.width))

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> CaptureRun:
        """Call the pipeline with these arguments.

        `token_mask`: bool [prompts, text positions], True for tokens of the prompt; required when the prompt is given as
        embeddings. Raises CaptureError if the tokens are unknown or a layer's attention cannot be read.
        """
        run = CaptureRun(self, args, kwargs, token_mask)
        run.execute()
        return run
