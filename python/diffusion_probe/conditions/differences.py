"""Compares the conditions of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Conditions = Mapping[str, Any]

MISSING = "unknown"


def differences(actual: Any, expected: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """The leaves in which two JSON values differ: path -> (actual value, expected value), sorted by path.

    A path joins the names of the members by dots. Lists are compared as a whole. A member that one side lacks has the value
    `MISSING` there.
    """
    if not isinstance(actual, Mapping) or not isinstance(expected, Mapping):
        return {} if _plain(actual) == _plain(expected) else {path: (actual, expected)}
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted(actual.keys() | expected.keys()):
        inner = f"{path}.{name}" if path else name
        found |= differences(actual.get(name, MISSING), expected.get(name, MISSING), inner)
    return found


def describe_differences(found: Mapping[str, tuple[Any, Any]]) -> str:
    """One line: `call.guidance_scale (now 9.0, before 5.0); dtype (now ..., before ...)`. Long values are cut."""
    return "; ".join(f"{path} (now {_short(now)}, before {_short(before)})" for path, (now, before) in found.items())


def _plain(value: Any) -> Any:
    """Lists of JSON for tuples, so that a value equals itself after it was written to a file."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
