"""The error that capture raises."""


class CaptureError(ValueError):
    """Attention cannot be captured from this pipeline, in this state or with these arguments."""
