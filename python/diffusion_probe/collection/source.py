"""A pipeline of diffusers as a source of training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..capture import AttentionCapture, CaptureRun
from ..capture.attention_capture import GRID
from ..data.shards import join
from ..data.source import Samples
from ..metrics.quality import QualityEvaluator
from ..pipelines.arguments import image_per_prompt, require_free
from ..probe.manifest import DecisionPoint, Metric
from .early_signals import EarlySignals
from .subjects import SubjectWords, require_subjects, subject_mask


class PipelineSource:
    """Any pipeline that `AttentionCapture` supports. It provides attention and quality, and what baselines need if asked to."""

    def __init__(
        self,
        pipe: Any,
        name: str,
        splits: Mapping[str, Sequence[str]],
        evaluator: QualityEvaluator,
        metric: Metric,
        total_steps: int,
        steps: Sequence[int],
        layers: Sequence[str] | None = None,
        call: Mapping[str, Any] | None = None,
        batch: int = 8,
        grid: tuple[int, int] = GRID,
        baselines: bool = False,
        subjects: SubjectWords | None = None,
    ):
        """`steps`: the steps to capture, from 1. `call`: further arguments of the pipeline. `batch`: images at a time. `grid`: as
        that of AttentionCapture. `baselines`: samples have `preview_quality`, and `guidance_difference` where there is guidance.
        `subjects`: they have `subject_mask`.

        Generates one image to learn the capture settings. Raises CaptureError for a pipeline or layer that is not supported, and
        ValueError for steps outside the run, for arguments that the source sets, and for a prompt without a subject.
        """
        self.name = name
        self.metric = metric
        self._pipe = pipe
        self._splits = splits
        self._evaluator = evaluator
        self._call = dict(call or {})
        self._batch = batch
        self._inference_steps = total_steps
        require_free(self._call, "the collection")
        if subjects is not None:
            require_subjects([prompt for own in splits.values() for prompt in own], subjects)
        if not steps or not 1 <= min(steps) <= max(steps) <= total_steps:
            raise ValueError(f"steps to capture {list(steps)}: expected steps from 1 to {total_steps}")
        self._subjects = subjects
        self._early = EarlySignals(pipe, steps) if baselines else None
        self._capture = AttentionCapture(pipe, layers, steps, grid)
        first = self._generate([splits["train"][0]], [0])
        self.capture = first.settings
        self.conditions = first.conditions or {}
        self.total_steps = len(pipe.scheduler.timesteps)
        self._timesteps = {step: captured.timestep for step, captured in first.steps.items()}

    def points(self, steps: Sequence[int]) -> tuple[DecisionPoint, ...]:
        return tuple(DecisionPoint(step, round(self._timesteps[step], 3)) for step in steps)

    def prompts(self, split: str, count: int) -> list[str]:
        return list(self._splits[split][:count])

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]) -> Samples:
        parts = [
            self._samples(list(prompts[start : start + self._batch]), seeds[start : start + self._batch], steps)
            for start in range(0, len(prompts), self._batch)
        ]
        return Samples(**{name: join(name, [part[name] for part in parts]) for name in parts[0]})

    def _samples(self, prompts: list[str], seeds: Sequence[int], steps: Sequence[int]) -> dict[str, np.ndarray]:
        """The fields of `Samples` for one call of the pipeline."""
        run = self._generate(prompts, seeds)
        token_mask = run.steps[steps[0]].token_mask
        fields = {
            "attention": np.stack([run.steps[step].attention for step in steps], axis=1),
            "token_mask": token_mask,
            "quality": self._evaluator(run.output.images, prompts),
        }
        if self._subjects is not None:
            arguments, width = self._arguments(prompts, seeds), token_mask.shape[1]
            fields["subject_mask"] = subject_mask(self._pipe, arguments, self._subjects, width)
        if self._early is not None:
            differences = self._early.guidance_difference
            if len(differences) == len(self._timesteps):
                fields["guidance_difference"] = np.stack([differences[step] for step in steps], axis=1)
            previews = [self._early.previews(step, self._arguments(prompts, seeds)) for step in steps]
            fields["preview_quality"] = np.stack([self._evaluator(images, prompts) for images in previews], axis=1)
        return fields

    def _generate(self, prompts: list[str], seeds: Sequence[int]) -> CaptureRun:
        """One image per prompt and seed."""
        with nullcontext() if self._early is None else self._early.recording():
            run = self._capture(**self._arguments(prompts, seeds))
        require_steps(run, self.name)
        return run

    def _arguments(self, prompts: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
        return image_per_prompt(self._call, prompts, seeds, self._inference_steps)


def require_steps(run: CaptureRun, name: str) -> None:
    """Raises ValueError where a step of the run was not captured. `name`: of the pipeline."""
    if run.missing:
        step, reason = next(iter(run.missing.items()))
        raise ValueError(f"step {step} of {name} was not captured: {reason}")
