"""Pipelines of diffusers as sources of training data."""

from .prompts import SHARES, PromptFile
from .source import PipelineSource

__all__ = ["SHARES", "PipelineSource", "PromptFile"]
