"""Capture of image-to-text attention, from pipelines of diffusers and in sampling loops of one's own."""

from . import requirements as requirements
from .attention_capture import AttentionCapture
from .capture_run import CapturedStep, CaptureRun
from .denoiser_calls import DenoiserCall
from .errors import CaptureError
from .families import FAMILIES, family_of, text_layers
from .observer import AttentionObserver, ObservedStep
from .ranks import Spread
from .reduction import attention_maps
from .select import select

__all__ = [
    "FAMILIES",
    "AttentionCapture",
    "AttentionObserver",
    "CaptureError",
    "CaptureRun",
    "CapturedStep",
    "DenoiserCall",
    "ObservedStep",
    "Spread",
    "attention_maps",
    "family_of",
    "select",
    "text_layers",
]
