"""Replaces an attribute of one object, or the calls of one module, for the duration of a `with` block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

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


@contextmanager
def intercepted_calls(module: nn.Module, handle: Callable[..., Any]) -> Iterator[None]:
    """Inside the block a call of the module is `handle(own_call, *args, **kwargs)`."""
    # `Module.compile()` sets this attribute. It comes before hooks and compiled code, and belongs to this instance alone.
    name = "_compiled_call_impl"
    compiled = vars(module).get(name)
    own_call = module._call_impl if compiled is None else compiled
    with patched_attribute(module, name, functools.partial(handle, own_call)):
        yield
