"""What is known of each kind of backbone: its attention layers, where image and text stand in them, and its prompt's tokens."""

from . import requirements as requirements
from .family import ALL, CALLS, FIRST, LAST, NONE, ROWS_AFTER, ROWS_BEFORE, Family
from .lookup import DEFAULT_LAYERS, FAMILIES, choose_layers, family_of, spread_over_depth, text_layers
from .tokens import Segment

__all__ = [
    "ALL",
    "CALLS",
    "DEFAULT_LAYERS",
    "FAMILIES",
    "FIRST",
    "LAST",
    "NONE",
    "ROWS_AFTER",
    "ROWS_BEFORE",
    "Family",
    "Segment",
    "choose_layers",
    "family_of",
    "spread_over_depth",
    "text_layers",
]
