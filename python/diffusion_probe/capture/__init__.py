"""Capture of image-to-text attention in pipelines of diffusers."""

from .attention_capture import AttentionCapture, CaptureRun, PreparedRun
from .calls import DenoiserCall, ImageRows
from .errors import CaptureError
from .families import FAMILIES, family_of, text_layers
from .step_capture import CapturedStep

__all__ = [
    "FAMILIES",
    "AttentionCapture",
    "CaptureError",
    "CaptureRun",
    "CapturedStep",
    "DenoiserCall",
    "ImageRows",
    "PreparedRun",
    "family_of",
    "text_layers",
]
