"""Tiny pipelines with random weights, built from configuration: they draw nothing, but everything around them is real."""

from .backbone import TinyBackbone
from .pipelines import TINY, tiny_pipeline

__all__ = ["TINY", "TinyBackbone", "tiny_pipeline"]
