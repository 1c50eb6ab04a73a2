"""Tiny diffusers pipelines with random weights, for tests and the selftest. Their images are noise."""

from .backbone import TinyBackbone
from .pipelines import TINY, tiny_pipeline

__all__ = ["TINY", "TinyBackbone", "tiny_pipeline"]
