"""Captures one call of a denoiser: each layer is reduced to small maps as soon as it has run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attention_hook import read_layers
from .denoiser_calls import DenoiserCall
from .errors import CaptureError, OnError
from .families import family_of, is_guided, text_layers
from .family import CALLS, ROWS_BEFORE
from .layout import Arguments
from .reduction import AttentionCall, reduce_rows


@dataclass(frozen=True)
class CapturedStep:
    """The attention of one step, for all images of the call. Images of one prompt are adjacent, as in the pipeline's output."""

    step: int  # counts the denoiser's evaluations from 1
    timestep: float  # the scheduler's own number at this step
    maps: Tensor  # float16 [images, layers, tokens, height, width], probabilities in [0, 1], on the pipeline's device
    token_mask: np.ndarray  # uint8 [images, tokens], 1 = real
    images: tuple[int, ...]  # the index of each in the pipeline's output
    prompts: tuple[int, ...]  # the index of each image's prompt
    total_images: int  # of the whole run
    total_steps: int  # evaluations of the denoiser in the whole run

    @property
    def attention(self) -> np.ndarray:
        """The maps as a NumPy array. Waits for the device."""
        return self.maps.cpu().numpy()


class StepCapture:
    """Captures the layers of one denoiser call and passes the step to `on_step` as soon as the last of them has run."""

    def __init__(
        self,
        pipe: Any,
        arguments: Arguments,
        timesteps: Tensor,
        call: DenoiserCall,
        layers: Sequence[str],
        grid: tuple[int, int],
        tokens: np.ndarray,
        on_step: Callable[[CapturedStep], None],
        on_error: OnError | None,
    ):
        """`arguments`: of the pipeline, by name. `timesteps`: the scheduler's at the steps of the run.

        `tokens`: bool [prompts, text positions]. `on_error` takes errors of the capture; without it they are raised."""
        self._pipe = pipe
        self._timesteps = timesteps
        self._call = call
        self._layers = layers
        self._grid = grid
        self._on_step = on_step
        self._on_error = on_error
        self._family = family_of(pipe)
        self._denoiser = getattr(pipe, self._family.denoiser)
        self._positions = [np.flatnonzero(mask) for mask in tokens]  # the text positions of each prompt's tokens
        self._tokens = max(len(positions) for positions in self._positions)
        self._text_positions = tokens.shape[1]
        self._rows = self._conditional_rows(arguments)
        self._total = call.subset.total if call.subset else self._rows.stop - self._rows.start
        self._images = call.subset.images if call.subset else tuple(range(self._total))
        self._prompts = self._prompts_of_images()
        self._maps: dict[str, Tensor] = {}
        self._layout = functools.cache(functools.partial(self._family.layout, self._denoiser, call.arguments))

    def evaluate(self) -> Any:
        """Call the denoiser with hooks on all layers. Returns its output."""
        modules = text_layers(self._pipe)
        with read_layers({name: modules[name] for name in self._layers}, self._on_attention, self._on_error):
            return self._call.evaluate()

    def missing_layers(self) -> list[str]:
        """Layers that have not been captured. A block cache may have skipped them."""
        return [name for name in self._layers if name not in self._maps]

    def _conditional_rows(self, arguments: Arguments) -> slice:
        """The rows that see the prompt. Guidance adds as many that do not; perturbed attention adds further ones at the end."""
        rows = len(self._call.arguments[self._family.sample])
        is_joined = self._family.guidance != CALLS and is_guided(self._pipe, self._family, arguments)
        parts = 1 + is_joined + getattr(self._pipe, "do_perturbed_attention_guidance", False)
        images = len(self._positions) * (arguments.get("num_images_per_prompt") or 1)
        if rows == (len(self._call.subset.images) if self._call.subset else images):
            parts = 1  # guidance that ends before the last step
        start = rows // parts if parts > 1 and is_joined and self._family.guidance == ROWS_BEFORE else 0
        return slice(start, start + rows // parts)

    def _prompts_of_images(self) -> tuple[int, ...]:
        if self._total % len(self._positions):
            raise CaptureError(f"{self._total} images for {len(self._positions)} prompts: expected as many for each prompt")
        per_prompt = self._total // len(self._positions)
        return tuple(image // per_prompt for image in self._images)

    def _on_attention(self, name: str, attention: AttentionCall) -> None:
        # Autocast would compute products in 16 bits, and joins no float16 maps under bfloat16.
        with torch.autocast(attention.query.device.type, enabled=False):
            self._maps[name] = self._reduce(attention)
            step = None if self.missing_layers() else self._captured_step()
        if step is not None:
            self._on_step(step)

    def _reduce(self, attention: AttentionCall) -> Tensor:
        """Maps of one layer: float16 [images, tokens, *grid]."""
        lengths = attention.query.shape[2], attention.key.shape[2]
        rows = [self._rows.start + index for index in range(len(self._images))]
        layouts = [self._layout(lengths, row if self._family.text_mask else 0) for row in rows]
        keys = [self._keys(self._positions[prompt], layout.text) for prompt, layout in zip(self._prompts, layouts, strict=True)]
        return reduce_rows(attention, rows, keys, layouts, (self._tokens, *self._grid))

    def _keys(self, positions: np.ndarray, text: slice) -> np.ndarray:
        """The keys of text positions. Where each row has its own length of text, those behind its end are no keys."""
        start = text.stop - self._text_positions if self._family.text_ends else text.start
        keys = positions + start
        if self._family.text_mask is not None:
            keys = keys[keys < text.stop]
        if len(keys) and keys[-1] >= text.stop:
            raise CaptureError(f"token_mask marks text position {positions[-1]}: expected {text.stop - start} positions at most")
        return keys

    def _captured_step(self) -> CapturedStep:
        lengths = np.array([len(self._positions[prompt]) for prompt in self._prompts])
        return CapturedStep(
            step=self._call.step,
            timestep=float(self._timesteps[self._call.step - 1]),
            maps=torch.stack([self._maps[name] for name in self._layers], dim=1),
            token_mask=(np.arange(self._tokens) < lengths[:, None]).astype(np.uint8),
            images=self._images,
            prompts=self._prompts,
            total_images=self._total,
            total_steps=len(self._timesteps),
        )
