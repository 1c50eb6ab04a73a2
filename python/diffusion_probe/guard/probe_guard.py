"""The guard's face: a pipeline, a client, and what to ask."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import AttentionCapture, family_of
from ..client import InvalidInputError, Model
from ..client.requests import deadline_seconds, score_request
from .contract import Contract, NoProbeError, contract_from_folder, contract_from_models
from .judge import SPARE_SECONDS, Judge, in_background
from .result import GuardFailure, GuardResult
from .run import NOT_CAPTURED, GuardedRun, unguarded

DEADLINE_MS = 1000.0
NO_PROBE = "no_probe"
NO_STEP = 0
# The service has another probe by now than the one whose contract is known here.
STALE_CONTRACT = frozenset({"foreign_capture", "model_not_found", "wrong_shape", "not_a_decision_point", "step_mismatch"})

log = logging.getLogger("diffusion_probe.guard")


class ProbeGuard:
    """A pipeline that stops what is not worth finishing: `images = ProbeGuard(pipe, client)(prompt, num_images_per_prompt=8)`.

    At the judged steps the attention goes to the service while the denoiser works on. What the service drops stops costing with
    that call of the denoiser: later ones, and the decoder, run for the living rows alone, and a run without any ends there. The
    pipeline itself is left as it was. Whatever fails, the service, the capture or the way between them, keeps every image, and
    no exception comes of it; those of the pipeline come through.
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
        """`client`: a ProbeClient. `model`: `name` or `name@version`, else the service's default probe, or that of `probe`.

        `steps`: at which to ask, some of the probe's decision points, else the one nearest to a fifth of the run. `policy`: else
        the service's. `deadline_ms`: for all that one decision waits for. `probe`: its folder, where what it wants captured shall
        not be asked of the service. Raises CaptureError where the pipeline, or a layer of `probe` in it, is not supported, and
        ValueError for other mistakes.
        """
        family_of(pipe)
        if inspect.iscoroutinefunction(getattr(client, "score", None)) or not hasattr(client, "score"):
            raise InvalidInputError("client", f"a {type(client).__name__}", "a ProbeClient: pipelines do not await")
        deadline_seconds(deadline_ms)
        score_request(np.zeros((1,) * 5, np.float32), 0.0, {"model": model, "policy": policy})
        self._pipe = pipe
        self._client = client
        self._model = model
        self._steps = None if steps is None else tuple(steps)
        self._policy = policy
        self._deadline_ms = deadline_ms
        self._capture: AttentionCapture | None = None
        self._contract: Contract | None = None if probe is None else contract_from_folder(Path(probe))
        self._asks_for_contract = probe is None
        if self._contract is not None:
            self._capture_for(self._contract)

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> GuardResult:
        """Call the pipeline with these arguments. `token_mask`: as in AttentionCapture, for prompts that come as embeddings."""
        try:
            contract = self._known_contract()
            capture = self._capture_for(contract)
            run = GuardedRun(self._pipe, self._judge(contract))
            prepared = capture.prepare(args, kwargs, token_mask, on_step=run.watch, intercept=run.around, fail_open=True)
        except Exception as error:
            reason = NO_PROBE if isinstance(error, NoProbeError) else NOT_CAPTURED
            log.warning("unguarded: %s", error)
            return unguarded(self._pipe, args, kwargs, [GuardFailure(NO_STEP, reason, str(error))])
        result = run.generate(prepared)
        for failure in result.failures:
            log.warning("kept without a score at step %d: %s: %s", failure.step, failure.reason, failure.detail)
        if run.refusals & STALE_CONTRACT and self._asks_for_contract:
            self._contract = self._capture = None
        return result

    def _known_contract(self) -> Contract:
        """Asked for until it is known. Raises NoProbeError."""
        if self._contract is None:
            self._contract = contract_from_models(self._ask_for_models(), self._model)
        return self._contract

    def _capture_for(self, contract: Contract) -> AttentionCapture:
        """Made once. Raises NoProbeError and CaptureError."""
        if self._capture is None:
            steps = contract.steps_to_judge(self._steps)
            self._capture = AttentionCapture.for_probe(self._pipe, contract.capture, steps)
        return self._capture

    def _ask_for_models(self) -> tuple[Model, ...] | None:
        try:
            request = in_background(lambda: self._client.models(deadline_ms=self._deadline_ms))
            return request.result(self._deadline_ms / 1000 + SPARE_SECONDS)
        except Exception as error:
            raise NoProbeError(f"the client does not tell which probes there are: {error!r}") from error

    def _judge(self, contract: Contract) -> Judge:
        options = {
            "model": self._model or contract.model,
            "policy": self._policy,
            "capture_id": contract.capture.capture_id,
        }
        return Judge(self._client, self._deadline_ms, options)
