"""Turns settings into JSON values. What may hold a user's text or data is replaced by a hash."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..fingerprint import digest


def public_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a configuration whose names do not begin with `_`, as JSON values."""
    return {name: setting_value(value, str) for name, value in config.items() if not name.startswith("_")}


def setting_value(value: Any, text: Callable[[str], str]) -> Any:
    """A JSON value. `text` returns what stands for a text. An array is replaced by its hash."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, torch.Tensor):
        return setting_value(value.detach().float().cpu().numpy(), text)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value, np.float32)
        return hashed(str(array.shape).encode() + array.tobytes()) if array.ndim else float(array)
    if isinstance(value, Mapping):
        return {str(name): setting_value(item, text) for name, item in value.items()}
    if isinstance(value, Sequence):
        return _list_value(value, text)
    return type(value).__name__


def _list_value(values: Sequence[Any], text: Callable[[str], str]) -> Any:
    """A list; one text for a list of equal texts: pipelines take one negative prompt for all prompts, or one for each."""
    items = [setting_value(value, text) for value in values]
    is_text = bool(values) and all(isinstance(value, str) and value == values[0] for value in values)
    return items[0] if is_text else items


def hashed_text(text: str) -> str:
    """The hash that stands for a text of the user."""
    return hashed(text.encode(errors="surrogatepass"))


def hashed(content: bytes) -> str:
    """`sha256:` and 16 hex digits."""
    return f"sha256:{digest(content)}"
