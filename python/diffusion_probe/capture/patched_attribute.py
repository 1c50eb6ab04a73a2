"""Replaces an attribute of one object for the duration of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def patched_attribute(owner: object, name: str, value: Any) -> Iterator[None]:
    """Set `owner.name` to `value` inside the block and restore it afterwards. The class and its other instances do not change.

    It writes to the instance's `__dict__`, because `__setattr__` of a pipeline registers the value as a component, and that of a
    compiled module forwards it to the module inside.
    """
    attributes = vars(owner)
    before = attributes.get(name, _ABSENT)
    attributes[name] = value
    try:
        yield
    finally:
        if before is _ABSENT:
            attributes.pop(name, None)
        else:
            attributes[name] = before
