"""Capture of image-to-text attention in pipelines of diffusers."""

from .attention_capture import AttentionCapture, CapturedStep, CaptureRun
from .errors import CaptureError
from .families import FAMILIES, text_layers

__all__ = ["FAMILIES", "AttentionCapture", "CaptureError", "CaptureRun", "CapturedStep", "text_layers"]
