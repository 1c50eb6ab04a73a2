"""Pipelines of diffusers as sources of training data."""
