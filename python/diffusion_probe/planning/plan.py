"""A plan and what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What the parts of a run cost, in one unit: denoiser calls of one sample by default, seconds where they were measured."""

    call: float = 1.0  # one denoiser call of one sample
    capture: float = 0.0  # reading the attention of one sample at a decision point
    question: float = 0.0  # one request to the service
    decode: float = 0.0  # decoding and measuring one finished image

    def image(self, total_steps: int) -> float:
        """The cost of one finished image without a question."""
        return self.call * total_steps + self.decode


CALLS = Costs()


@dataclass(frozen=True)
class Plan:
    """How many samples of a group are started, and how many live on after each decision point that drops some."""

    seeds: int
    keep: tuple[tuple[int, int], ...] = ()  # (step, samples that are kept there), steps ascending, counts descending

    @classmethod
    def from_counts(cls, seeds: int, points: Iterable[int], counts: Iterable[int]) -> Plan:
        """The plan with `counts` samples after each of `points`; a point that drops none is not asked."""
        keep, alive = [], seeds
        for step, count in zip(points, counts, strict=True):
            if count < alive:
                keep.append((step, count))
            alive = count
        return cls(seeds, tuple(keep))

    @property
    def questions(self) -> int:
        return len(self.keep)

    @property
    def finished(self) -> int:
        """How many images are finished."""
        return self.keep[-1][1] if self.keep else self.seeds

    def calls(self, total_steps: int) -> int:
        """Denoiser calls of all samples together."""
        alive, last, calls = self.seeds, 0, 0
        for step, count in self.keep:
            calls += alive * (step - last)
            alive, last = count, step
        return calls + alive * (total_steps - last)

    def cost(self, total_steps: int, costs: Costs) -> float:
        """The cost in the unit of `costs`."""
        asked = [self.seeds, *(count for _, count in self.keep)][: self.questions]
        questions = costs.capture * sum(asked) + costs.question * self.questions
        return costs.call * self.calls(total_steps) + questions + costs.decode * self.finished

    def text(self) -> str:
        """In words, such as `start 8, keep 7 after step 1, keep 2 after step 10, finish 2`."""
        return ", ".join([f"start {self.seeds}", *(f"keep {count} after step {step}" for step, count in self.keep)])
