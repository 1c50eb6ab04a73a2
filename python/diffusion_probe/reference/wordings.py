"""Captions of the reference world in several wordings, as a source of samples: what policies of rewriting are compared on."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.source import Samples
from ..probe.manifest import DecisionPoint
from .rewriting import GrammarRewriter
from .source import ReferenceSource
from .splits import data_captions


def caption_wordings(split: str, captions: int, rewrites: int) -> list[list[str]]:
    """For each caption of a split its plain text and its first `rewrites` rewrites; some captions have fewer."""
    rewriter = GrammarRewriter()
    texts = [caption.text() for caption in data_captions(split, captions)]
    return [[text, *rewriter(text, rewrites)] for text in texts]


class WordingsSource:
    """The reference world with the wordings as its prompts, as a `data.source.Source`."""

    def __init__(self, source: ReferenceSource, wordings: Sequence[Sequence[str]]):
        self._source = source
        self._prompts = [text for own in wordings for text in own]
        self.name, self.metric, self.total_steps = source.name, source.metric, source.total_steps
        self.capture, self.conditions = source.capture, source.conditions

    def points(self, steps: Sequence[int]) -> tuple[DecisionPoint, ...]:
        return self._source.points(steps)

    def prompts(self, split: str, count: int) -> list[str]:
        return self._prompts[:count]

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        return self._source.generate(prompts, seeds, steps)
