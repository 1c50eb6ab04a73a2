"""Sends a captured step to the service while the denoiser is running, and collects the outcomes before a deadline."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from threading import Thread
from typing import Any

import numpy as np

from ..capture import CapturedStep
from ..client import ScoreFailure, ScoreOutcome
from ..client.group import sample_id

EXTRA_SECONDS = 0.25  # after the deadline, for a client that keeps it to report its failure
TIMEOUT, CLIENT_FAILED = "timeout", "client_failed"


@dataclass(frozen=True)
class GroupOutcome:
    """The outcome for the images of one prompt."""

    images: tuple[int, ...]
    outcome: ScoreOutcome | ScoreFailure


class PendingScores:
    """The requests of one step, one per prompt, sent at the same time with one deadline."""

    def __init__(self, step: int, deadline_ms: float):
        self.step = step
        self._deadline = time.monotonic() + deadline_ms / 1000 + EXTRA_SECONDS
        self._requests: list[tuple[tuple[int, ...], Future[ScoreOutcome]]] = []

    def add(self, images: tuple[int, ...], request: Callable[[], ScoreOutcome]) -> None:
        """Send a request for some images in the background."""
        self._requests.append((images, in_background(request)))

    def outcomes(self) -> list[GroupOutcome]:
        """Wait for the outcomes. One that is not there at the deadline is a failure."""
        return [GroupOutcome(images, self._outcome(future)) for images, future in self._requests]

    def _outcome(self, future: Future[ScoreOutcome]) -> ScoreOutcome | ScoreFailure:
        try:
            return future.result(max(0.0, self._deadline - time.monotonic()))
        except FutureTimeoutError as error:
            return ScoreFailure(TIMEOUT, error=error)
        except Exception as error:  # another client may raise, and ProbeClient raises for a wrong argument
            return ScoreFailure(CLIENT_FAILED, error=error)


class StepScorer:
    """Turns captured steps into score requests."""

    def __init__(self, client: Any, deadline_ms: float, options: Mapping[str, Any]):
        """`client`: a ProbeClient. `options` are the same for every request: model and policy."""
        self._client = client
        self._deadline_ms = deadline_ms
        self._options = options

    def submit(
        self, captured: CapturedStep, remaining: Container[int], run_id: str, fingerprints: Mapping[str, Any]
    ) -> PendingScores:
        """Send those of the captured images that remain. `run_id` and `fingerprints` must be the same at all steps of a run."""
        pending = PendingScores(captured.step, self._deadline_ms)
        attention = captured.attention
        owners = np.array(captured.prompts)
        remains = np.array([image in remaining for image in captured.images])
        for prompt in sorted(set(captured.prompts)):
            rows = np.flatnonzero((owners == prompt) & remains)
            if not len(rows):
                continue
            images = tuple(captured.images[row] for row in rows)
            tokens = int(captured.token_mask[rows].sum(axis=1).max())
            request = functools.partial(
                self._client.score,
                attention[rows][:, :, :tokens],
                captured.timestep,
                token_mask=captured.token_mask[rows][:, :tokens],
                deadline_ms=self._deadline_ms,
                group=f"{run_id}/{prompt}",
                sample_ids=[sample_id(run_id, image) for image in images],
                step=captured.step,
                total_steps=captured.total_steps,
                **self._options,
                **fingerprints,
            )
            pending.add(images, request)
        return pending


def in_background(action: Callable[[], Any]) -> Future[Any]:
    """A future of the action's result. It runs in a daemon thread, so it does not keep the process alive."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # a SystemExit in a client must not end the run of the pipeline
            future.set_exception(RuntimeError(repr(error)))

    Thread(target=run, name="diffusion-probe-guard", daemon=True).start()
    return future
