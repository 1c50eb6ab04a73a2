"""The wordings of the prompts of a study: each prompt with what a rewriter made of it, asked once and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from ..metrics.registry import MetricFunction
from ..probe.manifest import write_json
from ..progress import Progress
from .rewriter import Rewriter, ask_rewriter

WORDINGS = "wordings.json"


def rewrite_prompts(
    path: Path, prompts: Sequence[str], rewriter: Rewriter, count: int, seconds: float
) -> tuple[list[list[str]], str | None]:
    """Each prompt, followed by at most `count` rewrites, and the first failure of the rewriter.

    What stands in the file is not asked again. A text belongs to one prompt: where two have the same rewrite, the first has it.
    Raises ValueError for a file of other prompts.
    """
    known = _read(path)
    if any(own[0] != prompt for own, prompt in zip(known, prompts, strict=False)):
        raise ValueError(f"{path} holds rewrites of other prompts: use another folder")
    failure = None
    taken = {text for own in known for text in own} | set(prompts)
    for index in Progress("rewrite", len(known), len(prompts), unit="prompt", shown=len(known) < len(prompts)):
        found = ask_rewriter(rewriter, prompts[index], count, seconds)
        failure = failure or found.failure
        own = [text for text in found.texts if text not in taken]
        taken |= set(own)
        known.append([prompts[index], *own])
        write_json(path, known)
    return known[: len(prompts)], failure


def judged_as_given(metric: MetricFunction, wordings: Sequence[Sequence[str]]) -> MetricFunction:
    """The metric, which judges the image of a rewrite by the prompt as given."""
    given = {text: own[0] for own in wordings for text in own}

    def judge(images: Sequence[Image], prompts: Sequence[str]) -> Sequence[float]:
        return metric(images, [given[prompt] for prompt in prompts])

    return judge


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if not all(own and all(isinstance(text, str) for text in own) for own in known):
            raise ValueError("expected a list of lists of texts")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not valid: {error}") from error
    return known
