"""Tiny pipelines with random weights, built from configuration: they draw nothing, but everything around them is real."""

from .pipelines import TINY, tiny_pipeline

__all__ = ["TINY", "tiny_pipeline"]
