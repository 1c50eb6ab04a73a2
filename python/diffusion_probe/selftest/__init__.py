"""The command `selftest`: every stage from collecting to a guarded generation, on tiny random pipelines."""
