"""`ProbeGuard`: a pipeline that stops the samples which the service drops."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import AttentionCapture, family_of
from ..client import InvalidInputError, Model
from ..client.group import NOT_CAPTURED
from ..client.requests import deadline_seconds, score_request
from .guarded_run import GuardedRun, unguarded
from .probe_info import NoProbeError, ProbeInfo, probe_info_from_folder, probe_info_from_models
from .result import GuardFailure, GuardResult
from .step_scorer import EXTRA_SECONDS, StepScorer, in_background

DEADLINE_MS = 1000.0
NO_PROBE = "no_probe"
NO_STEP = 0
# With these problems the service may have another probe now than the one whose capture settings are known here.
STALE_PROBE_CODES = frozenset({"foreign_capture", "model_not_found", "wrong_shape", "not_a_decision_point", "step_mismatch"})

log = logging.getLogger("diffusion_probe.guard")


class ProbeGuard:
    """A pipeline that stops samples early: `images = ProbeGuard(pipe, client)(prompt, num_images_per_prompt=8)`.

    At the chosen steps the captured attention is sent to the service while the denoiser is running. From the next denoiser call
    on, the denoiser and the decoder run for the samples that the service keeps; a run without any ends at once. The pipeline is
    restored after each run. A failure of the service, the network or the capture raises nothing: the samples are kept. Errors of
    the pipeline are raised as usual.
    """

    def __init__(
        self,
        pipe: Any,
        client: Any,
        *,
        model: str | None = None,
        steps: Sequence[int] | None = None,
        policy: Mapping[str, Any] | None = None,
        deadline_ms: float = DEADLINE_MS,
        probe: str | Path | None = None,
    ):
        """`client`: a ProbeClient. `model`: `name` or `name@version`; by default that of `probe`, else the service's default.

        `steps`: at which samples are scored, from the probe's decision points; by default the one nearest to a fifth of the run.
        `policy`: by default the service's. `deadline_ms`: the longest wait for one decision. `probe`: its folder; by default the
        service is asked how to capture. Raises CaptureError if the pipeline or a layer of `probe` is not supported,
        FileNotFoundError if `probe` holds no probe, and ValueError for other mistakes.
        """
        self._family = family_of(pipe).name
        if inspect.iscoroutinefunction(getattr(client, "score", None)) or not hasattr(client, "score"):
            raise InvalidInputError("client", f"a {type(client).__name__}", "a ProbeClient, since a pipeline cannot await")
        deadline_seconds(deadline_ms)
        score_request(np.zeros((1,) * 5, np.float32), 0.0, {"model": model, "policy": policy})
        self._pipe = pipe
        self._client = client
        self._model = model
        self._steps = None if steps is None else tuple(steps)
        self._policy = policy
        self._deadline_ms = deadline_ms
        self._capture: AttentionCapture | None = None
        self._info: ProbeInfo | None = None if probe is None else probe_info_from_folder(Path(probe), self._family)
        self._info_is_fixed = self._info is not None
        if self._info is not None:
            self._capture_for(self._info)

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> GuardResult:
        """Call the pipeline with these arguments. `token_mask`: as in AttentionCapture, for prompts given as embeddings."""
        try:
            info = self._probe_info()
            capture = self._capture_for(info)
            run = GuardedRun(self._pipe, self._scorer(info), info)
            prepared = capture.prepare(args, kwargs, token_mask, run.on_step, run.intercept, fail_open=True)
        except Exception as error:
            reason = NO_PROBE if isinstance(error, NoProbeError) else NOT_CAPTURED
            log.warning("not guarded, all samples are kept: %s", error)
            return unguarded(self._pipe, args, kwargs, GuardFailure(NO_STEP, reason, str(error)))
        result = run.generate(prepared)
        for failure in result.failures:
            log.warning("kept without a score at step %d: %s: %s", failure.step, failure.reason, failure.detail)
        if run.problem_codes & STALE_PROBE_CODES and not self._info_is_fixed:
            self._info = self._capture = None
        return result

    def _probe_info(self) -> ProbeInfo:
        """Asks the service in each run until it answers. Raises NoProbeError."""
        if self._info is None:
            self._info = probe_info_from_models(self._models(), self._model, self._family)
        return self._info

    def _capture_for(self, info: ProbeInfo) -> AttentionCapture:
        """Created once per probe. Raises NoProbeError and CaptureError."""
        if self._capture is None:
            steps = info.choose_steps(self._steps)
            self._capture = AttentionCapture.for_probe(self._pipe, info.capture, steps, info.conditions)
            if info.conditions is None:
                log.warning("%s does not state how its images were drawn: differences of a run cannot be seen", info.model)
        return self._capture

    def _models(self) -> tuple[Model, ...] | None:
        try:
            request = in_background(lambda: self._client.models(deadline_ms=self._deadline_ms))
            return request.result(self._deadline_ms / 1000 + EXTRA_SECONDS)
        except Exception as error:
            raise NoProbeError(f"the client could not list the service's probes: {error!r}") from error

    def _scorer(self, info: ProbeInfo) -> StepScorer:
        return StepScorer(self._client, self._deadline_ms, {"model": self._model or info.model, "policy": self._policy})
