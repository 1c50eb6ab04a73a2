"""Scores with a probe in the caller's own process, without a service. Decisions are made by the service only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .client.errors import InvalidInputError
from .client.requests import ScoreOptions, score_request
from .client.tensors import widened

try:
    from .probe.onnx_probe import OnnxProbe
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error.name} is missing: pip install 'diffusion-probe[local]'", name=error.name) from error

if TYPE_CHECKING:
    from .client.tensors import Tensor


class LocalProbe:
    """`LocalProbe("models/pictogram/2").score(attention, timestep)` runs the probe of a folder with ONNX Runtime on the CPU."""

    def __init__(self, folder: str | Path, threads: int = 0):
        """`threads`: 0 means one per core. Raises FileNotFoundError if the folder holds no probe."""
        self._probe = OnnxProbe(Path(folder), threads)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The content of its probe.json."""
        return self._probe.manifest

    def score(
        self,
        attention: Tensor,
        timestep: float | Tensor,
        *,
        token_mask: Tensor | None = None,
        signals: Mapping[str, Tensor] | None = None,
    ) -> np.ndarray:
        """Scores, float32 [batch]. Arguments are those of the client's `score`.

        Raises InvalidInputError for arguments that do not match the probe's inputs.
        """
        options: ScoreOptions = {"token_mask": token_mask, "signals": signals}
        tensors = {name: widened(tensor) for name, tensor in score_request(attention, timestep, options).tensors.items()}
        declared = {entry["name"]: entry["shape"] for entry in self.manifest["inputs"]}
        for name in tensors.keys() ^ declared.keys():
            received = "given" if name in tensors else "missing"
            raise InvalidInputError(name, received, f"the tensors {', '.join(declared)}")
        batch, _, tokens = tensors["attention"].shape[:3]
        sizes = {"batch": batch, "tokens": tokens}
        for name, axes in declared.items():
            expected = [sizes.get(axis, axis) for axis in axes]
            if list(tensors[name].shape) != expected:
                raise InvalidInputError(name, list(tensors[name].shape), str(expected))
        masked = tensors["token_mask"] == 0
        return self._probe.score({name: _without_masked(tensors[name], masked, axes) for name, axes in declared.items()})


def _without_masked(tensor: np.ndarray, masked: np.ndarray, axes: list[int | str]) -> np.ndarray:
    """The tensor with zeros at masked tokens, as the service passes it to the probe."""
    if "tokens" not in axes or not masked.any():
        return tensor
    tensor = tensor.copy()
    np.moveaxis(tensor, axes.index("tokens"), 1)[masked] = 0
    return tensor
