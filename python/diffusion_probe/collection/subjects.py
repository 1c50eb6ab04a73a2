"""Which tokens of a prompt name a thing that the image should show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..families.lookup import family_of
from ..families.tokens import prompt_tokens

SubjectWords = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""Takes prompts; returns the words of each that name a thing."""


def subject_mask(pipe: Any, arguments: Mapping[str, Any], words_of: SubjectWords, width: int) -> np.ndarray:
    """uint8 [prompts, width]: 1 for each captured token of a word that names a thing, at every place of the word.

    `arguments`: of the pipeline, with a list of prompts. `width`: tokens of the longest prompt. The tokens of a word are those by
    which the text up to its end is longer than the text up to its start. Raises ValueError where no such token is captured.
    """
    bound = inspect.signature(type(pipe).__call__).bind(pipe, **arguments)
    bound.apply_defaults()
    prompts = list(arguments["prompt"])
    named = words_of(prompts)
    mask = np.zeros((len(prompts), width), np.uint8)
    known: dict[str, np.ndarray] = {}
    for row, (prompt, words) in enumerate(zip(prompts, named, strict=True)):
        if prompt not in known:
            known[prompt] = np.concatenate(_places(pipe, bound.arguments, prompt, _spans(prompt, words)))
        mask[row, known[prompt][known[prompt] < width]] = 1
        if not mask[row].any():
            raise ValueError(f"no word that names a thing in {prompt!r} has a token: the text is cut off before it")
    return mask


def require_subjects(prompts: Sequence[str], words_of: SubjectWords) -> None:
    """Raises ValueError where the function does not name a word of each prompt."""
    named = words_of(prompts)
    if len(named) != len(prompts):
        raise ValueError(f"--subjects returned {len(named)} lists of words for {len(prompts)} prompts")
    for prompt, words in zip(prompts, named, strict=True):
        if not _spans(prompt, words):
            raise ValueError(f"--subjects names no word of the prompt {prompt!r}: {list(words)}")


def _places(pipe: Any, call: Mapping[str, Any], prompt: str, spans: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The captured tokens of parts of a prompt. Those of one tokenizer come after those of another, each with an end of text."""
    # A space at the end would be a token of its own in some tokenizers, which otherwise belongs to the next word.
    texts = ["", prompt, *(prompt[:end].rstrip() for span in spans for end in span)]
    places, before = [], 0
    for segment in family_of(pipe).tokens:
        empty, whole, *counted = prompt_tokens(pipe, {**call, "prompt": texts}, (segment,)).sum(axis=1)
        ends = iter(before + np.array(counted) - empty)
        places += [np.arange(start, end) for start, end in zip(ends, ends, strict=True)]
        before += whole
    return places


def _spans(prompt: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where the words stand in a prompt."""
    return [match.span() for word in words for match in re.finditer(rf"\b{re.escape(word)}\b", prompt, re.IGNORECASE)]
