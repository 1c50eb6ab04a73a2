"""The reference world as the backend of a selection: dropped samples leave the batch, so that they cost nothing further."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..capture import ObservedStep
from ..client import SampleGroup
from ..conditions.differences import differences
from ..devices import mixed_precision
from ..fingerprint import fingerprint
from ..guard import GuardFailure, Judgement
from ..guard.result import judged
from ..selection import Drawn, DrawnSample, Questions
from ..selection.timed_client import TimedClient
from .backbone import TIMESTEPS
from .captions import parse
from .rectified_flow import STEPS, StepOutput, sample
from .source import ReferenceSource, initial_noise, pictures, to_bytes
from .step_reader import StepReader


class ReferenceBackend:
    """Draws the samples of a group in one batch. Their captions may differ."""

    name = "pictogram"
    family = "pictogram"

    def __init__(self, source: ReferenceSource):
        self._source = source

    def metric(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """The reward of the reference world."""
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
        return self._source.quality(pixels, prompts).tolist()

    def check(self, prompt: str) -> None:
        """Raises ValueError for a caption outside the grammar, or with a word that the backbone does not know."""
        try:
            parse(prompt)
            self._source.token_ids([prompt])
        except ValueError as error:
            raise ValueError(f"the reference world cannot draw {prompt!r}: {error}") from error

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], questions: Questions | None) -> Drawn:
        source = self._source
        started = time.monotonic()
        ids, size = source.token_ids(prompts), source.backbone.config.image_size
        latents = torch.stack([initial_noise(prompt, seed, size) for prompt, seed in zip(prompts, seeds, strict=True)])
        run = _Run(source, ids[:, 1:].numpy(), questions)
        steps = frozenset(questions.steps if questions else ())
        with mixed_precision():
            images = pictures(to_bytes(sample(source.backbone, ids, latents, on_step=run.ask, capture_steps=steps)))
        finished = dict(zip(run.remaining, images, strict=True))
        samples = tuple(
            DrawnSample(finished.get(index), tuple(run.judgements[index]), run.previews.get(index)) for index in range(len(seeds))
        )
        seconds = time.monotonic() - started
        return Drawn(samples, STEPS, seconds, tuple(run.failures), run.client.answered, run.client.seconds, run.differences)


class _Run:
    """The questions of one run, and what was decided."""

    def __init__(self, source: ReferenceSource, ids: np.ndarray, questions: Questions | None):
        """`ids`: int64 [samples, tokens], without the begin token, padded. Raises ValueError for a probe of other layers."""
        samples = len(ids)
        self.judgements: list[list[Judgement]] = [[] for _ in range(samples)]
        self.previews: dict[int, Image.Image] = {}  # of the dropped samples
        self.failures: list[GuardFailure] = []
        self.client = TimedClient(questions and questions.client)
        self.remaining: tuple[int, ...] = tuple(range(samples))
        self.differences: dict[str, tuple[Any, Any]] = {}
        if questions is None:
            return
        probe, known = questions.probe, source.capture
        self._ids, grid = ids, probe.capture.height
        declared = {entry["name"] for entry in probe.manifest["inputs"]}
        self._read = StepReader(known.layers, probe.capture.layers, grid, declared)
        capture = replace(known, layers=probe.capture.layers, height=grid, width=grid)
        # A probe of schema_version 1 has another form of the id.
        self._capture_id = probe.capture_id if capture == probe.capture else capture.capture_id
        self._model = questions.model
        self.differences = differences(source.conditions, probe.conditions) if probe.conditions else {}
        options = {
            "policy": questions.policy,
            "deadline_ms": questions.deadline_ms,
            "total_steps": STEPS,
            "conditions": source.conditions,
            "conditions_id": fingerprint(source.conditions),
        }
        self._group = SampleGroup(self.client, self.remaining, options)

    def ask(self, output: StepOutput) -> Sequence[int]:
        """Ask about the remaining samples at a step: the rows of those that are kept."""
        asked = self.remaining
        attention, mask, signals = self._read(output, self._ids[list(asked)])
        observed = ObservedStep(attention, (), mask, self._capture_id, self._model)
        kept = self._group.decide(observed, step=output.index, timestep=output.sigma * TIMESTEPS, **signals)
        self.remaining = self._group.remaining
        judgements, failure = judged(output.index, self._group.outcomes[-1], len(asked))
        for index, judgement in zip(asked, judgements, strict=True):
            self.judgements[index].append(judgement)
        if failure is not None:
            self.failures.append(failure)
        dropped = [row for row in range(len(asked)) if row not in kept]
        for row, picture in zip(dropped, pictures(to_bytes(output.preview[dropped])), strict=True):
            self.previews[asked[row]] = picture
        return kept
