"""Capture of image-to-text attention from diffusers pipelines."""

from .attention_capture import AttentionCapture, CaptureRun, PipelineRun
from .denoiser_calls import DenoiserCall, ImageSubset
from .errors import CaptureError
from .families import FAMILIES, family_of, text_layers
from .observer import AttentionObserver, ObservedStep
from .ranks import Spread
from .reduction import attention_maps
from .select import select
from .step_capture import CapturedStep
from .weights import weights_hash

__all__ = [
    "FAMILIES",
    "AttentionCapture",
    "AttentionObserver",
    "CaptureError",
    "CaptureRun",
    "CapturedStep",
    "DenoiserCall",
    "ImageSubset",
    "ObservedStep",
    "PipelineRun",
    "Spread",
    "attention_maps",
    "family_of",
    "select",
    "text_layers",
    "weights_hash",
]
