"""What puts a prompt into other words, and what is taken of its answer. A rewriter that fails costs no image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Protocol

from ..guard.background import Answer

LONGEST = 4000  # characters of a rewrite
DETAIL = 300  # characters of a failure's text


class Rewriter(Protocol):
    """Rewrites prompts, such as a language model."""

    name: str

    def __call__(self, prompt: str, count: int) -> Sequence[str]:
        """Up to `count` rewrites with the meaning of the prompt. May raise anything."""
        ...


class RewriterError(Exception):
    """A rewriter gave no usable answer."""


@dataclass(frozen=True)
class Rewrites:
    """What a rewriter answered about one prompt."""

    texts: tuple[str, ...]  # that can be drawn, without repetitions
    refused: tuple[tuple[str, str], ...] = ()  # (text, why it is not drawn)
    failure: str | None = None  # why there is no text at all
    seconds: float = 0.0


def ask_rewriter(
    rewriter: Rewriter, prompt: str, count: int, seconds: float, check: Callable[[str, str], None] = lambda prompt, text: None
) -> Rewrites:
    """Ask for `count` rewrites, and wait for them no longer than `seconds`. Raises nothing.

    `check(prompt, rewrite)` raises ValueError for a rewrite that is not to be drawn.
    """
    started = time.monotonic()
    try:
        answer = Answer(lambda: rewriter(prompt, count), seconds * 1000).result()
        texts, refused = _usable(prompt, answer, count, check)
        failure = None if texts else "no rewrite can be drawn" if refused else "it returned no other text than the prompt"
    except FutureTimeoutError:
        texts, refused, failure = [], [], f"no answer within {seconds:g} s"
    except Exception as error:
        texts, refused, failure = [], [], f"{type(error).__name__}: {error}"[:DETAIL]
    return Rewrites(tuple(texts), tuple(refused), failure, time.monotonic() - started)


def _usable(prompt: str, answer: Any, count: int, check: Callable[[str, str], None]) -> tuple[list[str], list[tuple[str, str]]]:
    if isinstance(answer, str) or not isinstance(answer, Sequence):
        raise RewriterError(f"it returned a {type(answer).__name__}: expected a list of texts")
    seen, texts, refused = {_words(prompt)}, [], []
    for text in answer:
        if not isinstance(text, str):
            raise RewriterError(f"it returned a list with a {type(text).__name__}: expected texts")
        line = " ".join(text.split())
        if not line or _words(line) in seen:
            continue
        seen.add(_words(line))
        try:
            if len(line) > LONGEST:
                raise ValueError(f"{len(line)} characters: expected at most {LONGEST}")
            check(prompt, line)
        except ValueError as error:
            refused.append((line[:LONGEST], str(error)))
        else:
            texts.append(line)
    return texts[:count], refused


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
