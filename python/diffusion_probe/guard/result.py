"""What a guarded run gives back: images, and what was decided about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..client import Decision, SampleResult


@dataclass(frozen=True)
class Judgement:
    """What was decided about one sample at one step."""

    step: int
    decision: Decision
    reason: str  # the service's, or why there is no score: the client's reasons, `not_captured`, `no_probe`
    result: SampleResult | None = None  # all that the service said; none where it did not

    @property
    def score(self) -> float | None:
        """The predicted quality of the finished image."""
        return None if self.result is None else self.result.score

    @property
    def receipt(self) -> str | None:
        """For the feedback."""
        return None if self.result is None else self.result.receipt


@dataclass(frozen=True)
class GuardedSample:
    """One sample of a run: its image, or that it was dropped, and why."""

    index: int  # its place in the pipeline's answer
    id: str  # the name that the service knows it by
    image: Any | None  # as the pipeline gives it; none where the sample was dropped
    judgements: tuple[Judgement, ...]  # one per step at which it was judged, in order

    @property
    def decision(self) -> Decision:
        """`drop` where one judgement said so."""
        return "drop" if any(judgement.decision == "drop" for judgement in self.judgements) else "keep"

    @property
    def step(self) -> int:
        """Of the last judgement."""
        return self.judgements[-1].step

    @property
    def score(self) -> float | None:
        """Of the last judgement."""
        return self.judgements[-1].score

    @property
    def reason(self) -> str:
        """Of the last judgement."""
        return self.judgements[-1].reason

    @property
    def receipts(self) -> tuple[str, ...]:
        """All that came with its scores; they belong into one call of the client's `feedback`."""
        return tuple(judgement.receipt for judgement in self.judgements if judgement.receipt is not None)


@dataclass(frozen=True)
class GuardFailure:
    """Why samples were kept without having been scored."""

    step: int  # 0 where the whole run was not guarded
    reason: str
    detail: str


@dataclass(frozen=True)
class GuardResult:
    """A guarded run; behaves as the list of its images, with None in the place of every dropped one."""

    samples: tuple[GuardedSample, ...]
    failures: tuple[GuardFailure, ...]

    @property
    def outcome(self) -> Literal["scored", "failed_open"]:
        """`failed_open` where some decision could not be made, so that its samples were kept."""
        return "failed_open" if self.failures else "scored"

    @property
    def images(self) -> list[Any | None]:
        """One per sample; None where it was dropped."""
        return [sample.image for sample in self.samples]

    @property
    def kept(self) -> list[GuardedSample]:
        """The samples that have an image."""
        return [sample for sample in self.samples if sample.decision == "keep"]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any | None:
        return self.images[index]

    def __iter__(self) -> Iterator[Any | None]:
        return iter(self.images)
