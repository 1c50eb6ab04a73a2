"""A made-up world of prompts whose images have known qualities, and scores that may differ from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffusion_probe.capture import ObservedStep
from diffusion_probe.client import SampleGroup, SampleResult, ScoredGroup, ScoreFailure
from diffusion_probe.guard.result import judged
from diffusion_probe.probe.manifest import Capture
from diffusion_probe.selection import Drawn, DrawnSample, Questions

from ..planning.synthetic import POINTS, STEPS, write_probe

FAMILY = "made-up"
PROMPT = "a cat left of two keys"
LOW = 0.2  # the score of the prompt as given
BETTER, WORSE = 0.8, 0.1  # of rewrites


def probe_folder(folder: Path, **options: Any) -> Path:
    """A probe of this world, with trajectories."""
    write_probe(folder, **options)
    manifest = json.loads((folder / "probe.json").read_text())
    capture = Capture(FAMILY, ("one",), 8, 8, "mean", "text", "area")
    points = [{"step": step, "timestep": 1000.0 - step} for step in POINTS]
    manifest |= {"capture": asdict(capture), "capture_id": capture.capture_id, "decision_points": points}
    (folder / "probe.json").write_text(json.dumps(manifest))
    return folder


class MadeUpBackend:
    """Draws images whose qualities and scores are known by prompt and seed."""

    name = FAMILY
    family = FAMILY

    def __init__(self, scores: Mapping[str, float], qualities: Mapping[str, float] | None = None):
        """`scores`: by prompt, for every step; later seeds have slightly lower ones. `qualities`: by default the scores."""
        self._scores, self._qualities = scores, qualities or scores
        self.judged_by: set[str] = set()
        self.drawn: list[list[tuple[str, int]]] = []  # the groups

    def metric(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        self.judged_by |= set(prompts)
        return [image.info["quality"] for image in images]

    def check(self, prompt: str) -> None:
        if "zebra" in prompt:
            raise ValueError("a zebra cannot be drawn")

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], questions: Questions | None) -> Drawn:
        samples = list(zip(prompts, seeds, strict=True))
        self.drawn.append(samples)
        scores = np.array([self._scores[prompt] - 0.001 * seed for prompt, seed in samples])
        judgements: list[list[Any]] = [[] for _ in samples]
        remaining, failures, answered = tuple(range(len(samples))), [], {}
        if questions is not None:
            group = SampleGroup(questions.client, remaining, {"policy": questions.policy})
            for step in questions.steps:
                asked = group.remaining
                if not asked:
                    break
                maps = scores[list(asked)].reshape(-1, 1, 1, 1, 1)
                observed = ObservedStep(maps, (), np.ones((len(asked), 1)), questions.probe.capture_id, questions.model)
                group.decide(observed, step=step, timestep=1000.0 - step)
                found, failure = judged(step, group.outcomes[-1], len(asked))
                failures += [failure] if failure else []
                answered[step] = float(step)
                for index, judgement in zip(asked, found, strict=True):
                    judgements[index].append(judgement)
            remaining = group.remaining
        drawn = []
        for index, (prompt, seed) in enumerate(samples):
            image = Image.new("RGB", (4, 4))
            image.info["quality"] = self._qualities[prompt] - 0.001 * seed
            drawn.append(DrawnSample(image if index in remaining else None, tuple(judgements[index])))
        return Drawn(tuple(drawn), STEPS, float(STEPS), tuple(failures), answered)


class MadeUpClient:
    """Executes the plan that it is sent. It fails at the given questions, which count from 1."""

    def __init__(self, *failing: int):
        self._failing, self.questions = failing, 0

    def models(self, **options: Any) -> None:
        """The service does not list its probes."""

    def score(
        self, attention: np.ndarray, timestep: float, *, policy: Mapping[str, Any], step: int, sample_ids: Sequence[str], **others
    ) -> ScoredGroup | ScoreFailure:
        self.questions += 1
        if self.questions in self._failing:
            return ScoreFailure("network")
        scores = attention.ravel()
        ranks = np.argsort(np.argsort(-scores, kind="stable")) + 1
        results = []
        for index, (name, score, rank) in enumerate(zip(sample_ids, scores.tolist(), ranks.tolist(), strict=True)):
            drops = rank > policy["keep"].get(str(step), len(scores))
            results.append(
                SampleResult(index, name, score, None, None, rank, None, drops, None, "drop" if drops else "keep", "", None)
            )
        return ScoredGroup("made-up", 4, "cpu", policy, tuple(results))


class ListRewriter:
    """Returns the same texts for every prompt, or raises."""

    name = "list"

    def __init__(self, texts: Any, before: Callable[[], None] = lambda: None):
        self._texts, self._before = texts, before
        self.asked: list[tuple[str, int]] = []

    def __call__(self, prompt: str, count: int) -> Any:
        self.asked.append((prompt, count))
        self._before()
        if isinstance(self._texts, Exception):
            raise self._texts
        return self._texts
