"""`ProbeGuard`: a pipeline that stops the samples which the service drops."""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import AttentionCapture
from ..client import InvalidInputError, Model, RefusedError
from ..client.arguments import deadline_seconds
from ..client.errors import failure_of
from ..client.group import NOT_CAPTURED
from ..client.requests import score_request
from ..families import family_of
from ..planning.run_plan import RunPlan
from ..probe.manifest import read_manifest
from ..probe.probe_info import NoProbeError, ProbeInfo
from .background import Answer
from .guarded_run import GuardedRun
from .result import GuardFailure, GuardResult, guard_result
from .served_probe import plan_of, served_probe

DEADLINE_MS = 1000.0
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
        probe: str | Path | Mapping[str, Any] | None = None,
        one_group: bool = False,
    ):
        """`client`: a ProbeClient. `model`: `name` or `name@version`; by default that of `probe`, else the service's default.

        `steps`: at which samples are scored, from the probe's decision points; by default those of the policy `plan`, else the
        one nearest to a fifth of the run.
        `policy`: by default the service's. `deadline_ms`: the longest wait for one decision. `probe`: its folder or manifest; by
        default the service is asked how to capture. `one_group`: all images of a call are one group, which one decision
        compares, even if their prompts differ; by default each prompt has a group. Raises CaptureError if the pipeline or a
        layer of `probe` is not supported, FileNotFoundError if `probe` holds no probe, and ValueError for other mistakes.
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
        self._one_group = one_group
        self._warned: set[str] = set()  # paths of differences
        self._capture: AttentionCapture | None = None
        self._info: ProbeInfo | None = None
        self._info_is_fixed = probe is not None
        if probe is not None:
            manifest = probe if isinstance(probe, Mapping) else read_manifest(Path(probe))
            self._info = ProbeInfo.read(f"{manifest['name']}@{manifest['version']}", manifest, self._family)
            self._capture = self._capture_for(self._info)

    def __call__(self, *args: Any, token_mask: np.ndarray | None = None, **kwargs: Any) -> GuardResult:
        """Call the pipeline with these arguments. `token_mask`: as in AttentionCapture, for prompts given as embeddings."""
        try:
            # The service is asked in each run until it answers.
            info = self._info = self._info or served_probe(self._models(), self._model, self._family)
            capture = self._capture = self._capture or self._capture_for(info)
            options = {"model": self._model or info.model, "policy": self._policy}
            run = GuardedRun(
                capture,
                args,
                kwargs,
                token_mask,
                client=self._client,
                deadline_ms=self._deadline_ms,
                options=lambda run: {**options, **info.fingerprints(run.settings, run.conditions)},
                one_group=self._one_group,
            )
        except Exception as error:
            reason = error.reason if isinstance(error, NoProbeError) else NOT_CAPTURED
            log.warning("not guarded, all samples are kept: %s", error)
            failure = GuardFailure(NO_STEP, reason, str(error))
            return guard_result(self._pipe(*args, **kwargs), [failure], {}, {}, uuid.uuid4().hex)
        run.execute()
        found = info.differences(run.settings, run.conditions)
        self._log(run, found)
        if run.problem_codes & STALE_PROBE_CODES and not self._info_is_fixed:
            self._info = self._capture = None
        return guard_result(run.output, run.failures, run.judgements, found, run.id)

    @property
    def plan(self) -> RunPlan | None:
        """What the policy `plan` will cost; None for any other, and before the first run without the folder of the probe."""
        return self._info and plan_of(self._info, self._policy)

    def _capture_for(self, info: ProbeInfo) -> AttentionCapture:
        """Raises NoProbeError and CaptureError."""
        plan = plan_of(info, self._policy)
        steps = tuple(plan.keep) if self._steps is None and plan and plan.keep else self._steps
        if info.conditions is None:
            log.warning("%s does not state how its images were drawn: differences of a run cannot be seen", info.model)
        return AttentionCapture.for_probe(self._pipe, info.capture, info.choose_steps(steps))

    def _models(self) -> tuple[Model, ...] | None:
        try:
            return Answer(lambda: self._client.models(deadline_ms=self._deadline_ms), self._deadline_ms).result()
        except RefusedError as error:  # such as a wrong API key
            raise NoProbeError(f"the service does not list its probes: {error}", failure_of(error).reason) from error
        except Exception as error:
            raise NoProbeError(f"the client could not list the service's probes: {error!r}") from error

    def _log(self, run: GuardedRun, found: Mapping[str, tuple[Any, Any]]) -> None:
        """Each failure, and each difference once."""
        for failure in run.failures:
            log.warning("kept without a score at step %d: %s: %s", failure.step, failure.reason, failure.detail)
        for path, (value, wanted) in found.items():
            if path not in self._warned:
                log.warning("%s is %s, but the probe was calibrated for %s: its scores may be wrong", path, value, wanted)
        self._warned |= found.keys()
