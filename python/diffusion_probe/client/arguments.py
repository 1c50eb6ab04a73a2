"""Checks of single arguments. Each raises InvalidInputError."""

from __future__ import annotations

import math
import numbers
from typing import Any

from .errors import InvalidInputError

MAX_DEADLINE_MS = 2**31 - 1  # 25 days


def deadline_seconds(deadline_ms: float) -> float:
    """A deadline in seconds."""
    if not isinstance(deadline_ms, numbers.Real) or not 0 < deadline_ms <= MAX_DEADLINE_MS:
        raise InvalidInputError("deadline_ms", repr(deadline_ms), f"a number of milliseconds above 0, at most {MAX_DEADLINE_MS}")
    return float(deadline_ms) / 1000


def text(field: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise InvalidInputError(field, f"a {type(value).__name__}", "a text")
    return value


def count(field: str, value: Any) -> int:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise InvalidInputError(field, repr(value), "a whole number from 1")
    return int(value)


def finite(field: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InvalidInputError(field, repr(value), "a finite number")
    return float(value)


def brief(value: object) -> str:
    """A value in an error: at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
