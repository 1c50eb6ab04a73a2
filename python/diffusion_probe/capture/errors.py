"""What capture refuses: by name, with what came and what was expected."""


class CaptureError(ValueError):
    """Attention cannot be captured from this pipeline, in this state or with these arguments."""
