"""Asking the service about a captured step while the denoiser is still at work, and reading the answer in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from threading import Thread
from typing import Any, Protocol

import numpy as np

from ..capture import CapturedStep
from ..client import ScoreFailure, ScoreOutcome

SPARE_SECONDS = 0.25  # for a client that keeps its deadline and still has to say so
LATE, BROKEN_CLIENT = "timeout", "client_failed"


class ScoringClient(Protocol):
    """What the guard needs of a client."""

    def score(self, attention: np.ndarray, timestep: float | np.ndarray, **options: Any) -> ScoreOutcome:
        """As ProbeClient.score."""
        ...


@dataclass(frozen=True)
class Verdict:
    """What the service said about the images of one prompt."""

    images: tuple[int, ...]
    outcome: ScoreOutcome | ScoreFailure


class Question:
    """A step that the service is being asked about: a request per prompt, all at once, under one deadline."""

    def __init__(self, step: int, deadline_ms: float):
        self.step = step
        self._ends = time.monotonic() + deadline_ms / 1000 + SPARE_SECONDS
        self._asked: list[tuple[tuple[int, ...], Future[ScoreOutcome]]] = []

    def ask(self, images: tuple[int, ...], request: Callable[[], ScoreOutcome]) -> None:
        """Ask about some images in the background."""
        self._asked.append((images, in_background(request)))

    def verdicts(self) -> list[Verdict]:
        """The answers; what is not there when the deadline has passed is none."""
        return [Verdict(images, self._outcome(future)) for images, future in self._asked]

    def _outcome(self, future: Future[ScoreOutcome]) -> ScoreOutcome | ScoreFailure:
        try:
            return future.result(max(0.0, self._ends - time.monotonic()))
        except LateError as error:
            return ScoreFailure(LATE, error=error)
        except Exception as error:  # a client of another make, or a value that this one refuses
            return ScoreFailure(BROKEN_CLIENT, error=error)


class Judge:
    """Turns captured steps into questions."""

    def __init__(self, client: ScoringClient, deadline_ms: float, options: Mapping[str, Any]):
        """`options`: what every request says: model, policy, capture_id."""
        self._client = client
        self._deadline_ms = deadline_ms
        self._options = options

    def ask(self, captured: CapturedStep, living: Container[int], run: str) -> Question:
        """Ask about the living among the captured images. `run`: a name for the run, the same at all its steps."""
        question = Question(captured.step, self._deadline_ms)
        attention = captured.attention
        for prompt in sorted(set(captured.prompts)):
            places = [
                place
                for place, (image, own) in enumerate(zip(captured.images, captured.prompts, strict=True))
                if own == prompt and image in living
            ]
            if not places:
                continue
            images = tuple(captured.images[place] for place in places)
            tokens = int(captured.token_mask[places].sum(axis=1).max())
            question.ask(
                images,
                _request(
                    self._client,
                    attention[places][:, :, :tokens],
                    captured.timestep,
                    token_mask=captured.token_mask[places][:, :tokens],
                    deadline_ms=self._deadline_ms,
                    group=f"{run}/{prompt}",
                    sample_ids=[sample_id(run, image) for image in images],
                    step=captured.step,
                    total_steps=captured.total_steps,
                    **self._options,
                ),
            )
        return question


def sample_id(run: str, image: int) -> str:
    """What the service knows a sample by: exploration holds for all steps of a sample."""
    return f"{run}/{image}"


def _request(client: ScoringClient, *args: Any, **kwargs: Any) -> Callable[[], ScoreOutcome]:
    return lambda: client.score(*args, **kwargs)


def in_background(action: Callable[[], Any]) -> Future[Any]:
    """Its result to come, from a thread that holds up nobody: neither the caller nor the end of the process."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # what ends programs must not end the one that only asked
            future.set_exception(RuntimeError(repr(error)))

    Thread(target=run, name="diffusion-probe-guard", daemon=True).start()
    return future
