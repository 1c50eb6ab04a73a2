"""Pipelines of diffusers as sources of training data."""

from .prompts import SPLIT_PERCENT, read_prompts
from .source import PipelineSource

__all__ = ["SPLIT_PERCENT", "PipelineSource", "read_prompts"]
