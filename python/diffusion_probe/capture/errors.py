"""The error that capture raises, and the type of a callback that takes errors instead."""

from collections.abc import Callable

OnError = Callable[[Exception], None]


class CaptureError(ValueError):
    """Attention cannot be captured from this pipeline, in this state or with these arguments."""
