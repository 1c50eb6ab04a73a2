"""The result of a guarded run: the images, and the decisions about each sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..client import Decision, SampleResult, ScoredGroup, ScoreFailure
from ..client.group import sample_id


@dataclass(frozen=True)
class Judgement:
    """The decision about one sample at one step."""

    step: int
    decision: Decision
    reason: str  # the service's; without a score: a reason of ScoreFailure, `client_failed`, `not_captured` or `no_probe`
    result: SampleResult | None = None  # the service's; None without a score

    @property
    def score(self) -> float | None:
        """The predicted quality of the finished image."""
        return None if self.result is None else self.result.score

    @property
    def receipt(self) -> str | None:
        """To send with the image's quality to the client's `feedback`."""
        return None if self.result is None else self.result.receipt


@dataclass(frozen=True)
class GuardedSample:
    """One sample of a run: its image unless it was dropped, and the decisions about it."""

    index: int  # in the pipeline's output
    id: str  # its id in requests to the service
    image: Any | None  # in the pipeline's output type; None if the sample was dropped
    judgements: tuple[Judgement, ...]  # one per step at which it was to be scored, in order

    @property
    def decision(self) -> Decision:
        """`drop` if any judgement is."""
        return "drop" if any(judgement.decision == "drop" for judgement in self.judgements) else "keep"

    @property
    def step(self) -> int:
        """The step of the last judgement."""
        return self.judgements[-1].step

    @property
    def score(self) -> float | None:
        """The score of the last judgement; None without one."""
        return self.judgements[-1].score

    @property
    def reason(self) -> str:
        """The reason of the last judgement."""
        return self.judgements[-1].reason

    @property
    def receipts(self) -> tuple[str, ...]:
        """The receipts of all its scores, for one call of the client's `feedback`."""
        return tuple(judgement.receipt for judgement in self.judgements if judgement.receipt is not None)


@dataclass(frozen=True)
class GuardFailure:
    """Why samples were kept without a score."""

    step: int  # 0 if the whole run was not guarded
    reason: str
    detail: str


def judged(step: int, outcome: ScoredGroup | ScoreFailure, samples: int) -> tuple[list[Judgement], GuardFailure | None]:
    """The judgements about `samples` samples of a group, in order, and why they have no score if they have none."""
    if isinstance(outcome, ScoredGroup):
        return [Judgement(step, result.decision, result.reason, result) for result in outcome.results], None
    detail = outcome.error if outcome.problem is None else outcome.problem.detail
    failure = GuardFailure(step, outcome.reason, str(detail or outcome.reason))
    return [Judgement(step, "keep", outcome.reason)] * samples, failure


@dataclass(frozen=True)
class GuardResult:
    """A guarded run. It can be indexed and iterated like the list `images`."""

    samples: tuple[GuardedSample, ...]
    failures: tuple[GuardFailure, ...]
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """How the run differs from the probe's capture and conditions: path -> (of the run, of the probe)."""

    @property
    def outcome(self) -> Literal["scored", "failed_open"]:
        """`failed_open` if samples were kept because they could not be scored."""
        return "failed_open" if self.failures else "scored"

    @property
    def images(self) -> list[Any | None]:
        """One per sample; None for a dropped one."""
        return [sample.image for sample in self.samples]

    @property
    def kept(self) -> list[GuardedSample]:
        """The samples that were not dropped."""
        return [sample for sample in self.samples if sample.decision == "keep"]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any | None:
        return self.images[index]

    def __iter__(self) -> Iterator[Any | None]:
        return iter(self.images)


def guard_result(
    output: Any,
    failures: Sequence[GuardFailure],
    judgements: Mapping[int, Sequence[Judgement]],
    differences: Mapping[str, tuple[Any, Any]],
    run_id: str,
) -> GuardResult:
    """The result of a run. `output`: what the pipeline returned. An image without judgement was kept because of the failures."""
    unscored = [Judgement(failure.step, "keep", failure.reason) for failure in failures]
    samples = []
    for index in range(len(output[0])):  # a list, an array or a tensor
        sample = GuardedSample(index, sample_id(run_id, index), output[0][index], tuple(judgements.get(index, unscored)))
        samples.append(replace(sample, image=None) if sample.decision == "drop" else sample)
    return GuardResult(tuple(samples), tuple(failures), differences)
