"""Attributes of one object, replaced for the time of a `with` block and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def shadowed(owner: object, name: str, value: Any) -> Iterator[None]:
    """Let `owner.name` be `value` inside the block, whatever happens there; its class and other instances stay as they are.

    It goes past `__setattr__`: pipelines register what is set on them, and a compiled module hands it to the module inside.
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
