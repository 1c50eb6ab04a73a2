"""The command `selftest`: every stage from collecting to a guarded generation, on tiny random pipelines."""

from .stages import selftest, stage_table

__all__ = ["selftest", "stage_table"]
