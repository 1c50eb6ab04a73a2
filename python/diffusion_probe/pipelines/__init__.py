"""Pipelines of diffusers: load one, and call it with a seed of its own for each image."""
