"""What capture refuses: by name, with what came and what was expected."""

from collections.abc import Callable

OnError = Callable[[Exception], None]
"""Takes an error of the capture, so that the run goes on without maps."""


class CaptureError(ValueError):
    """Attention cannot be captured from this pipeline, in this state or with these arguments."""
