"""A Python function of the user as a rewriter."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.registry import user_function


class FunctionRewriter:
    """`module:function`, called with the prompt and the number of rewrites that are wanted. It returns a list of texts."""

    def __init__(self, name: str):
        """Raises ValueError where there is no such function."""
        self.name = name
        self._function = user_function(name, "rewriter")

    def __call__(self, prompt: str, count: int) -> Sequence[str]:
        return self._function(prompt, count)
