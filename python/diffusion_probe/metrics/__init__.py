"""Metrics of finished images: what a probe of a pipeline learns to predict."""

from .judge import Judge
from .registry import METRICS, load_metric

__all__ = ["METRICS", "Judge", "load_metric"]
