"""Capture of image-to-text attention, from pipelines of diffusers and in sampling loops of one's own."""

from ..families.errors import CaptureError
from .attention_capture import AttentionCapture
from .capture_run import CapturedStep, CaptureRun
from .denoiser_calls import DenoiserCall
from .observer import AttentionObserver, ObservedStep
from .ranks import Spread
from .reduction import attention_maps
from .select import select

__all__ = [
    "AttentionCapture",
    "AttentionObserver",
    "CaptureError",
    "CaptureRun",
    "CapturedStep",
    "DenoiserCall",
    "ObservedStep",
    "Spread",
    "attention_maps",
    "select",
]
