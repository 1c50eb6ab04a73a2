"""Capture of image-to-text attention from diffusers pipelines."""

from .attention_capture import AttentionCapture, CaptureRun, PipelineRun
from .denoiser_calls import DenoiserCall, ImageSubset
from .errors import CaptureError
from .families import FAMILIES, family_of, text_layers
from .step_capture import CapturedStep
from .weights import weights_hash

__all__ = [
    "FAMILIES",
    "AttentionCapture",
    "CaptureError",
    "CaptureRun",
    "CapturedStep",
    "DenoiserCall",
    "ImageSubset",
    "PipelineRun",
    "family_of",
    "text_layers",
    "weights_hash",
]
