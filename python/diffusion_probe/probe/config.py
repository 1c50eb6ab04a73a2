"""The sizes of a probe's network, and the inputs of its ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREVIEW, TOKEN_IDS, GUIDANCE_DIFFERENCE = "preview", "token_ids", "guidance_difference"
EXTRA_SIGNALS = (PREVIEW, TOKEN_IDS, GUIDANCE_DIFFERENCE)


@dataclass(frozen=True)
class TensorSpec:
    """An input of the ONNX graph. `dtype` is a safetensors name; an axis is a number, "batch" or "tokens"."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class ProbeConfig:
    """Sizes and inputs of a probe. `grid` is the side of the maps; `signals` are inputs beyond attention and timestep."""

    layers: int
    grid: int = 16
    width: int = 32
    token_width: int = 128
    mixers: int = 2
    heads: int = 4
    metric_range: tuple[float, float] = (0.0, 1.0)
    signals: tuple[str, ...] = ()
    vocabulary: int = 0  # number of token ids; used by the signal `token_ids` alone
    preview_size: int = 64  # pixels per side; used by the signal `preview` alone
    preview_width: int = 0  # channels of the closer look at the preview that each token takes; 0: none
    preview_head: bool = False  # a second output for training, the metric of the preview
    network: str = "full"  # or "lean": attention and timestep alone, in a fraction of the time

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ProbeConfig:
        """Read the fields that a checkpoint holds."""
        return cls(**{**fields, "metric_range": tuple(fields["metric_range"]), "signals": tuple(fields["signals"])})

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the exported graph, in the order of `Probe.forward`."""
        extra = {
            PREVIEW: TensorSpec(PREVIEW, "F16", ("batch", 3, self.preview_size, self.preview_size)),
            TOKEN_IDS: TensorSpec(TOKEN_IDS, "I64", ("batch", "tokens")),
            GUIDANCE_DIFFERENCE: TensorSpec(GUIDANCE_DIFFERENCE, "F32", ("batch",)),
        }
        return (
            TensorSpec("attention", "F16", ("batch", self.layers, "tokens", self.grid, self.grid)),
            TensorSpec("token_mask", "U8", ("batch", "tokens")),
            TensorSpec("timestep", "F32", ("batch",)),
            *(extra[name] for name in self.signals),
        )
