"""Numbers as they are written into a probe's files."""

from __future__ import annotations

from collections.abc import Iterable

SIGNIFICANT_DIGITS = 6


def rounded(values: Iterable[float]) -> list[float]:
    """Plain numbers with few digits; ascending ones stay so."""
    return [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values]
