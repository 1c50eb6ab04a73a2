"""Capture of image-to-text attention in pipelines of diffusers."""

from .attention_capture import AttentionCapture, CaptureRun
from .errors import CaptureError
from .families import FAMILIES, text_layers
from .step_capture import CapturedStep

__all__ = ["FAMILIES", "AttentionCapture", "CaptureError", "CaptureRun", "CapturedStep", "text_layers"]
