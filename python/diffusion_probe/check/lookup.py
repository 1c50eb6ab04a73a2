"""Replaces what text encoders compute by a lookup, in which each position depends on its own token alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def looked_up(encoders: Sequence[nn.Module]) -> Iterator[None]:
    """Inside the block each encoder returns vectors of its token ids, in the form of its own output.

    The ids are its first integer tensor [rows, positions]. Vectors of a whole text, such as a pooled embedding, become constant.
    """
    handles = [encoder.register_forward_hook(_replaced, with_kwargs=True) for encoder in encoders]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replaced(module: nn.Module, args: tuple, kwargs: Mapping[str, Any], output: Any) -> Any:
    ids = next((value for value in (kwargs.get("input_ids"), *args, *kwargs.values()) if _is_ids(value)), None)
    if ids is None:
        raise ValueError(f"{type(module).__name__} got no token ids: expected an integer tensor [rows, positions]")
    return _like(output, ids)


def _is_ids(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.dtype in (torch.int32, torch.int64)


def _like(value: Any, ids: Tensor) -> Any:
    if isinstance(value, Tensor):
        return _vectors(value, ids) if value.is_floating_point() else value
    if isinstance(value, Mapping):  # outputs of transformers are ordered dicts with attributes
        for name in list(value):
            value[name] = _like(value[name], ids)
        return value
    return type(value)(_like(item, ids) for item in value) if isinstance(value, tuple | list) else value


def _vectors(value: Tensor, ids: Tensor) -> Tensor:
    """Of the shape of `value`. Some encoders have the positions first."""
    if value.ndim != 3 or value.shape[:2] not in (ids.shape, ids.T.shape):
        return torch.ones_like(value)
    order = ids if value.shape[:2] == ids.shape else ids.T
    frequencies = torch.arange(1, value.shape[2] + 1, device=ids.device, dtype=torch.float64).sqrt()
    return torch.sin((order[..., None] + 1) * frequencies).to(value)
