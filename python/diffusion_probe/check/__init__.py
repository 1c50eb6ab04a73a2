"""Compares captured attention with a slow reference that shares no code with the capture."""

from ..families import requirements as requirements
from .observer import check_observer
from .pipeline import check_pipeline
from .report import TOLERANCE, LayerResult, Report

__all__ = ["TOLERANCE", "LayerResult", "Report", "check_observer", "check_pipeline"]
