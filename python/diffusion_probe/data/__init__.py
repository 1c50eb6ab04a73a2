"""Data sets: samples collected from a source, stored in shards on disk, and read as inputs of a probe."""
