"""Measures what capture costs: time, memory, and bytes of a request."""

from .measure import overhead
from .tables import tables

__all__ = ["overhead", "tables"]
