"""What draws the samples of a selection: a pipeline of diffusers, the reference world, or a sampling loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL.Image import Image

from ..guard import GuardFailure, Judgement
from ..metrics.registry import MetricFunction
from ..probe.probe_info import ProbeInfo


@dataclass(frozen=True)
class Questions:
    """How the samples of a group are asked about while they are drawn."""

    client: Any  # a ProbeClient, or another with its `score`
    probe: ProbeInfo
    policy: Mapping[str, Any]  # a written-out `plan`
    deadline_ms: float  # the longest wait for one answer

    @property
    def model(self) -> str:
        """The probe, `name@version`."""
        manifest = self.probe.manifest
        return f"{manifest['name']}@{manifest['version']}"

    @property
    def steps(self) -> tuple[int, ...]:
        """When to ask, from 1, ascending."""
        return tuple(sorted(int(step) for step in self.policy["keep"]))


@dataclass(frozen=True)
class DrawnSample:
    """One sample of a group after the run."""

    image: Image | None  # the finished image; None if the sample was dropped
    judgements: tuple[Judgement, ...] = ()  # one per question, in order
    preview: Image | None = None  # the image predicted when the sample was dropped, where the backend has it


@dataclass(frozen=True)
class Drawn:
    """A run: its samples in the order of prompts and seeds."""

    samples: tuple[DrawnSample, ...]
    total_steps: int  # denoiser calls of a finished sample
    seconds: float  # from the first denoiser call to the last image
    failures: tuple[GuardFailure, ...] = ()  # why samples were kept without a score
    answered: Mapping[int, float] = field(default_factory=dict)  # by step: the seconds after the start at its answer
    asking_seconds: float = 0.0  # from the questions to their answers, in sum; a pipeline denoises meanwhile
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """How the run differs from the probe's capture and conditions: path -> (of the run, of the probe)."""


class Backend(Protocol):
    """Draws the samples of one group."""

    name: str
    metric: MetricFunction | None  # the quality of finished images, where the backend has a metric of its own

    @property
    def family(self) -> str:
        """The family of the denoiser, as in a probe's `capture`. Raises CaptureError for one that cannot be asked about."""
        ...

    def check(self, prompt: str) -> None:
        """Raises ValueError for a prompt that cannot be drawn."""
        ...

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], questions: Questions | None) -> Drawn:
        """Draw a sample per pair of prompt and seed, as one group, and drop those that the answers drop.

        `questions`: None finishes all of them without a question.
        """
        ...
