"""Metrics of finished images: the quality that a probe of a pipeline learns to predict."""
