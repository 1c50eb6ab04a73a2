"""Metrics of finished images: the quality that a probe of a pipeline learns to predict."""

from .quality import QualityEvaluator
from .registry import METRICS, load_metric

__all__ = ["METRICS", "QualityEvaluator", "load_metric"]
