"""Which layers to watch: by name or pattern, or a spread over the depth of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from .errors import CaptureError
from .families import text_layers

DEFAULT_LAYERS = 10


def choose_layers(pipe: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Full names of attention modules, in the backbone's order.

    `layers` are such names or patterns with `*`; None spreads ten over the depth. Raises CaptureError for a name that fits none.
    """
    present = list(text_layers(pipe))
    if layers is None:
        count = min(DEFAULT_LAYERS, len(present))
        return tuple(present[(2 * index + 1) * len(present) // (2 * count)] for index in range(count))
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise CaptureError(f"there is no layer {pattern!r}: expected some of {', '.join(present)}")
    return tuple(name for name in present if any(fnmatchcase(name, pattern) for pattern in layers))
