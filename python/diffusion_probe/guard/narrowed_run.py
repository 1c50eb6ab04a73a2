"""A run of a pipeline whose denoiser and decoder compute some of its images only."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from ..capture import AttentionCapture, CaptureRun, DenoiserCall
from ..capture.patched_attribute import patched_attribute
from ..client import Kept
from .batch_rows import BatchLayoutError, narrowed, widened

log = logging.getLogger("diffusion_probe.guard")


class NarrowedRun(CaptureRun):
    """A sampling loop that belongs to the pipeline: it is seen and changed by the calls of its denoiser alone."""

    def __init__(
        self, capture: AttentionCapture, args: Sequence[Any], kwargs: Mapping[str, Any], token_mask: np.ndarray | None = None
    ):
        """The arguments of CaptureRun. An error of the capture does not end the run."""
        super().__init__(capture, args, kwargs, token_mask, fail_open=True)
        self._kept: Kept | None = None  # the remaining images; None: all
        self._narrows = True  # whether the denoiser runs for the remaining images only

    def execute(self) -> None:
        """Run the pipeline to its end."""
        with self._narrowed_decoder():
            super().execute()

    def _keep(self, kept: Kept) -> None:
        """From the next call on, compute these images only."""
        self._kept = kept
        # A block cache holds tensors with the rows of the former batch.
        getattr(self._denoiser, "_reset_stateful_cache", lambda: None)()

    def _forget_pending(self) -> None:
        """A call fails and is made again with all rows: what was asked during it no longer counts."""

    def _evaluate_narrowed(self, call: DenoiserCall) -> Any:
        if self._kept is None or not self._narrows:
            return super().evaluate(call)
        try:
            rows = len(call.arguments[self._family.sample])
            return widened(super().evaluate(narrowed(call, self._family.sample, self._kept)), self._kept, rows)
        except BatchLayoutError as error:
            # For example, a callback of the user evaluates some of the images.
            log.warning("a call of the denoiser goes on with its own rows: %s", error)
        except Exception as error:
            # For example, an adapter holds one value per row of the whole batch. The whole batch still works.
            log.warning("the denoiser fails without the rows of dropped samples, so it goes on with all rows: %r", error)
            self._narrows = False
            self._forget_pending()
        return super().evaluate(call)

    def _narrowed_decoder(self) -> AbstractContextManager[None]:
        """Inside it the VAE decodes the remaining images only."""
        vae = getattr(self._pipe, "vae", None)
        if vae is None:
            return nullcontext()
        decode = vae.decode

        def decode_remaining(latents: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._kept is None or len(latents) != self.total_images:
                return decode(latents, *args, **kwargs)
            return widened(decode(latents[list(self._kept)], *args, **kwargs), self._kept, self.total_images)

        return patched_attribute(vae, "decode", decode_remaining)
