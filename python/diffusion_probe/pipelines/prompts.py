"""A text file of prompts, one a line, cut into splits that share none."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Percent of the prompts. A prompt belongs to its split by a hash of its words, whatever else is in the file.
SHARES = {"train": 70, "calibration": 15, "test": 15}


class PromptFile:
    """The different prompts of a file in its order; empty lines do not count."""

    def __init__(self, path: Path):
        """Raises FileNotFoundError where there is no file, and ValueError where a split would be empty."""
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        different = {_words(line): line for line in reversed([line for line in lines if line])}
        prompts = list(reversed(different.values()))
        self.splits = {split: [prompt for prompt in prompts if split_of(prompt) == split] for split in SHARES}
        empty = [split for split, own in self.splits.items() if not own]
        if empty:
            raise ValueError(
                f"none of the {len(prompts)} prompts in {path} falls into the {empty[0]} split, which takes "
                f"{SHARES[empty[0]]}%: more prompts are needed"
            )


def split_of(prompt: str) -> str:
    """The split a prompt belongs to; case and spaces do not matter."""
    bucket = int.from_bytes(hashlib.sha256(_words(prompt).encode()).digest()[:8], "big") % 100
    for split, share in SHARES.items():
        if bucket < share:
            return split
        bucket -= share
    raise AssertionError("the shares do not add up to 100")


def _words(prompt: str) -> str:
    return " ".join(prompt.casefold().split())
