"""One watched call of a denoiser: the maps of all layers, reduced while they pass by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .calls import DenoiserCall
from .errors import CaptureError, OnError
from .families import family_of, text_layers
from .reduction import AttentionCall, pool, token_maps
from .tap import AttentionTap, run_eagerly


@dataclass(frozen=True)
class CapturedStep:
    """What was seen at one step, of all images of a call; the images of a prompt stand together, as in the pipeline's answer."""

    step: int  # the step-th evaluation of the denoiser, from 1
    timestep: float  # the scheduler's own number there
    maps: Tensor  # float16 [images, layers, tokens, height, width], on the pipeline's device
    token_mask: np.ndarray  # uint8 [images, tokens], 1 = real
    images: tuple[int, ...]  # their places in the pipeline's answer
    prompts: tuple[int, ...]  # the prompt of each
    total_images: int  # of the whole answer
    total_steps: int  # evaluations of the denoiser in the whole run

    @property
    def attention(self) -> np.ndarray:
        """The maps as an array; waits for the device."""
        return self.maps.cpu().numpy()


class StepCapture:
    """Watches the layers of one call. Gives the step to `deliver` as soon as the last of them has been seen."""

    def __init__(
        self,
        pipe: Any,
        call: DenoiserCall,
        layers: Sequence[str],
        grid: tuple[int, int],
        tokens: np.ndarray,
        deliver: Callable[[CapturedStep], None],
        on_error: OnError | None,
    ):
        """`tokens`: bool [prompts, text positions]. `on_error` takes what goes wrong while layers are watched, else it raises."""
        self._pipe = pipe
        self._call = call
        self._layers = layers
        self._grid = grid
        self._deliver = deliver
        self._on_error = on_error
        self._family = family_of(pipe)
        self._denoiser = getattr(pipe, self._family.denoiser)
        self._columns = [np.flatnonzero(mask) for mask in tokens]
        self._tokens = max(len(columns) for columns in self._columns)
        self._rows = self._image_rows()
        self._total = call.rows.total if call.rows else self._rows.stop - self._rows.start
        self._images = call.rows.images if call.rows else tuple(range(self._total))
        self._prompts = self._share_images()
        self._maps: dict[str, Tensor] = {}

    def carry_out(self) -> Any:
        """Run the denoiser with all layers watched."""
        modules = text_layers(self._pipe)
        with ExitStack() as stack:
            stack.enter_context(run_eagerly())
            for name in self._layers:
                stack.enter_context(AttentionTap(name, self._sink(name), self._on_error).on(modules[name]))
            return self._call.run()

    def absent(self) -> list[str]:
        """Layers that did not run: a block cache has skipped them."""
        return [name for name in self._layers if name not in self._maps]

    def _image_rows(self) -> slice:
        """The rows of the images under their prompt: all, or behind as many under the negative one."""
        rows = self._call.arguments[self._family.sample].shape[0]
        if self._family.joined_guidance and self._pipe.do_classifier_free_guidance:
            return slice(rows // 2, rows)
        return slice(0, rows)

    def _share_images(self) -> tuple[int, ...]:
        """The prompt of each image; those of a prompt stand together."""
        if self._total % len(self._columns):
            raise CaptureError(f"{self._total} images cannot belong to {len(self._columns)} prompts: expected as many of each")
        per_prompt = self._total // len(self._columns)
        return tuple(image // per_prompt for image in self._images)

    def _sink(self, name: str) -> Callable[[AttentionCall], None]:
        def sink(attention: AttentionCall) -> None:
            self._maps[name] = self._reduce(attention)
            if not self.absent():
                self._deliver(self._captured())

        return sink

    def _reduce(self, attention: AttentionCall) -> Tensor:
        """Maps of one layer: float16 [images, tokens, *grid]."""
        queries, keys = attention.query.shape[2], attention.key.shape[2]
        layout = self._family.layout(self._denoiser, self._call.arguments, (queries, keys))
        columns = [self._in_range(columns, keys - layout.text_start) + layout.text_start for columns in self._columns]
        on_device = [torch.from_numpy(some).to(attention.query.device) for some in columns]
        maps = torch.zeros(len(self._images), self._tokens, *self._grid, dtype=torch.float16, device=attention.query.device)
        for place, prompt in enumerate(self._prompts):
            some = on_device[prompt]
            row = attention.row(self._rows.start + place, layout.image)
            maps[place, : len(some)] = pool(token_maps(row, some), layout.size, self._grid)
        return maps

    @staticmethod
    def _in_range(columns: np.ndarray, positions: int) -> np.ndarray:
        if columns[-1] >= positions:
            raise CaptureError(f"the token mask reaches position {columns[-1]}: expected {positions} text positions at most")
        return columns

    def _captured(self) -> CapturedStep:
        lengths = np.array([len(self._columns[prompt]) for prompt in self._prompts])
        return CapturedStep(
            step=self._call.step,
            timestep=float(self._pipe.scheduler.timesteps[self._call.step - 1]),
            maps=torch.stack([self._maps[name] for name in self._layers], dim=1),
            token_mask=(np.arange(self._tokens) < lengths[:, None]).astype(np.uint8),
            images=self._images,
            prompts=self._prompts,
            total_images=self._total,
            total_steps=len(self._pipe.scheduler.timesteps),
        )
