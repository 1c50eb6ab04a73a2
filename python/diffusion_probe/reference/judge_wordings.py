"""Compares the images of a backbone before and after it learnt paraphrases: quality of plain wordings and of paraphrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.figures import bootstrap
from ..progress import Progress
from .captions import Caption, paraphrase
from .source import ReferenceSource

BATCH_CAPTIONS = 8


@dataclass(frozen=True)
class WordingReport:
    """Qualities [captions, seeds] of the same captions."""

    before: np.ndarray  # plain wordings, before
    plain: np.ndarray  # plain wordings, after
    paraphrased: np.ndarray  # one paraphrase of each caption, after

    def text(self) -> str:
        """Mean and standard deviation of each, and the differences, with 95% bootstrap intervals over captions."""
        lines = []
        for name, quality in (("before", self.before), ("after", self.plain), ("paraphrases", self.paraphrased)):
            lines.append(f"{name}: mean {_with_interval(np.mean, quality)}, standard deviation {_with_interval(np.std, quality)}")
        for name, one, other in (
            ("after - before", self.plain, self.before),
            ("paraphrases - after", self.paraphrased, self.plain),
        ):
            lines.append(f"{name}: mean {_with_interval(np.mean, one - other)}")
        return "\n".join(lines)


def judge_wordings(before: ReferenceSource, after: ReferenceSource, captions: Sequence[Caption], seeds: int) -> WordingReport:
    """Draw `seeds` images of each caption in each way."""
    plain = [caption.text() for caption in captions]
    paraphrased = [paraphrase(caption) for caption in captions]
    ways = ((before, plain), (after, plain), (after, paraphrased))
    starts = range(0, len(captions), BATCH_CAPTIONS)
    parts: list[list[np.ndarray]] = [[] for _ in ways]
    for index in Progress("judge", 0, len(starts) * len(ways), unit="batch"):
        way, batch = index % len(ways), index // len(ways)
        source, texts = ways[way]
        prompts = [text for text in texts[starts[batch] : starts[batch] + BATCH_CAPTIONS] for _ in range(seeds)]
        samples = source.generate(prompts, list(range(seeds)) * (len(prompts) // seeds), (1,))
        parts[way].append(samples.quality.reshape(-1, seeds))
    return WordingReport(*(np.concatenate(part) for part in parts))


def _with_interval(figure, quality: np.ndarray) -> str:
    low, high = bootstrap(lambda captions: float(figure(quality[captions])), len(quality))
    return f"{figure(quality):.4f} [{low:.4f}, {high:.4f}]"
