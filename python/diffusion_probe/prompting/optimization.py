"""What became of one prompt: the look, the rewrites, everything that was drawn, and which wording won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..guard import GuardFailure
from ..selection import SelectedSample, Selection
from .course import Course
from .rewriter import Rewrites

Decision = Literal["good_enough", "rewritten", "not_rewritten", "never", "unscored"]
Purpose = Literal["look", "candidates", "final"]


@dataclass(frozen=True)
class Look:
    """A few steps of the prompt as given."""

    step: int
    scores: tuple[float, ...] | None  # one per seed; None: the probe did not answer

    @property
    def score(self) -> float | None:
        """The predicted quality of the prompt: the mean over its seeds."""
        return None if self.scores is None else sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Draw:
    """One group that was drawn."""

    purpose: Purpose  # the last draw is always `final`
    selection: Selection


@dataclass(frozen=True)
class Wording:
    """The prompt as given, or a rewrite, with what its samples have reached in the draws behind the look."""

    prompt: str
    samples: int
    score: float | None  # the highest last score of a sample
    quality: float | None  # the highest of a finished image, judged against the prompt as given


@dataclass(frozen=True)
class Optimization:
    """The answer about one prompt."""

    prompt: str  # as given
    decision: Decision
    """`good_enough`: the score is at least tau. `rewritten`: rewrites were drawn. `not_rewritten`: the rewriter failed. `never`:
    rewriting never pays. `unscored`: the probe did not answer. Except for `rewritten` the prompt as given was drawn."""
    look: Look | None  # None: there was no need to look, or no probe
    rewrites: Rewrites | None  # None: the rewriter was not asked
    draws: tuple[Draw, ...]
    failures: tuple[GuardFailure, ...]  # why samples have no score
    course: Course | None  # None: no probe was known

    @property
    def final(self) -> Selection:
        """The draw that finished images."""
        return self.draws[-1].selection

    @property
    def best(self) -> SelectedSample:
        """The best finished image."""
        return self.final.best

    @property
    def chosen(self) -> str:
        """The wording of the best image."""
        return self.best.prompt

    @property
    def original_won(self) -> bool:
        """Whether the best image is of the prompt as given."""
        return self.chosen == self.prompt

    @property
    def calls(self) -> int:
        """Denoiser calls of everything that was drawn."""
        return sum(draw.selection.calls for draw in self.draws)

    @property
    def outcome(self) -> Literal["scored", "failed_open", "not_asked"]:
        """As that of a selection."""
        if self.failures:
            return "failed_open"
        return "scored" if any(draw.selection.model for draw in self.draws) else "not_asked"

    @property
    def wordings(self) -> list[Wording]:
        """The prompt as given first, then the rewrites in the order of the rewriter. One that was not drawn has no sample."""
        samples = [sample for draw in self.draws for sample in draw.selection.samples]
        texts = [self.prompt, *(self.rewrites.texts if self.rewrites else ())]
        return [_wording(text, [sample for sample in samples if sample.prompt == text]) for text in texts]


def _wording(text: str, samples: Sequence[SelectedSample]) -> Wording:
    scores = [sample.score for sample in samples if sample.score is not None and sample.score == sample.score]  # not nan
    qualities = [sample.quality for sample in samples if sample.quality is not None]
    return Wording(text, len(samples), max(scores, default=None), max(qualities, default=None))
