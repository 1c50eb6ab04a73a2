"""Predict, a few denoising steps into a text-to-image run, how good the finished image will be."""

__version__ = "0.2.0"
