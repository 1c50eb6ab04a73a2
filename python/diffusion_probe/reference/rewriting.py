"""Rewriting in the reference world: paraphrases by the grammar of its captions, which keep the meaning."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .captions import paraphrases, parse


class GrammarRewriter:
    """Other orders, mirrored relations, articles, and the background first or last. Their order is that of a hash."""

    name = "grammar"

    def __call__(self, prompt: str, count: int) -> Sequence[str]:
        """Always the same rewrites for a caption. Raises ValueError for a text outside the grammar."""
        own = " ".join(prompt.lower().split())
        others = [text for text in paraphrases(parse(own)) if text != own]
        return sorted(others, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]


def require_same_meaning(prompt: str, rewrite: str) -> None:
    """Raises ValueError for a rewrite with another meaning than the prompt, or outside the grammar."""
    if parse(rewrite).key() != parse(prompt).key():
        raise ValueError("it has another meaning than the prompt")
