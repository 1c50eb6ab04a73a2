"""What capture costs: time beside a plain step, memory, and bytes on the wire."""

from .command import overhead, tables

__all__ = ["overhead", "tables"]
