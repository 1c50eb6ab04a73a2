"""Collected samples: where they come from, how they lie on disk, and how a probe is fed with them."""
