"""A text file of prompts, one per line, divided into splits that share none."""

from __future__ import annotations

import hashlib
from pathlib import Path

# A hash of a prompt's words decides its split, so that it does not depend on the other prompts of the file.
SPLIT_PERCENT = {"train": 70, "calibration": 15, "test": 15}


def read_prompts(path: Path) -> dict[str, list[str]]:
    """The prompts of each split in the order of the file, without empty lines and duplicates.

    Raises FileNotFoundError without the file, and ValueError where a split would be empty.
    """
    prompts = prompt_lines(path)
    splits = {split: [prompt for prompt in prompts if split_of(prompt) == split] for split in SPLIT_PERCENT}
    empty = [split for split, own in splits.items() if not own]
    if empty:
        raise ValueError(
            f"none of the {len(prompts)} prompts in {path} falls into the {empty[0]} split, which takes "
            f"{SPLIT_PERCENT[empty[0]]}%: more prompts are needed"
        )
    return splits


def prompt_lines(path: Path) -> list[str]:
    """The prompts in the order of the file, without empty lines and repetitions. Raises FileNotFoundError without the file."""
    unique: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            unique.setdefault(_words(line), line.strip())
    return list(unique.values())


def split_of(prompt: str) -> str:
    """The split of a prompt; case and spaces do not matter."""
    bucket = int.from_bytes(hashlib.sha256(_words(prompt).encode()).digest()[:8], "big") % 100
    for split, percent in SPLIT_PERCENT.items():
        if bucket < percent:
            return split
        bucket -= percent
    raise AssertionError("the percentages do not sum to 100")


def _words(prompt: str) -> str:
    return " ".join(prompt.casefold().split())
