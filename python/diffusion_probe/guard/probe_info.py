"""Reads from the service or from a probe's folder how the probe's attention is captured and at which steps it can score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..capture import CaptureRun
from ..client import Model
from ..conditions.differences import Conditions, differences
from ..fingerprint import fingerprint
from ..planning.run_plan import RunPlan, run_plan
from ..probe.manifest import Capture, total_steps_of

DEFAULT_SHARE = 0.2  # of the run, as in the paper: early enough to save most steps, late enough for maps to show the objects
NO_PROBE = "no_probe"
SERVING, AVAILABLE = "serving", "available"


class NoProbeError(ValueError):
    """There is no probe to guard with, or none that this package can capture for. `reason`: of the failure."""

    def __init__(self, text: str, reason: str = NO_PROBE):
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class ProbeInfo:
    """What the guard needs to know about a probe."""

    model: str  # `name` or `name@version`
    capture: Capture
    capture_id: str
    conditions: Conditions | None  # None: the manifest does not state them
    manifest: Mapping[str, Any]
    steps: tuple[int, ...]  # of its decision points

    @classmethod
    def read(cls, model: str, manifest: Mapping[str, Any], family: str) -> ProbeInfo:
        """From a manifest, for a pipeline of that family. Raises NoProbeError."""
        try:
            known = {field.name for field in fields(Capture)}
            stated = {name: value for name, value in manifest["capture"].items() if name in known}
            capture = Capture.from_dict({"family": family, **stated})
            steps = tuple(point["step"] for point in manifest["decision_points"])
            info = cls(model, capture, manifest["capture_id"], manifest.get("conditions"), manifest, steps)
        except (KeyError, TypeError, AttributeError) as error:
            raise NoProbeError(f"the manifest of {model} is not valid: {error!r}") from error
        # In schema_version 1 some of the conditions were members of the capture, and the family was not.
        if "family" in stated and capture.capture_id != info.capture_id:
            raise NoProbeError(f"{model} was captured with settings that this version does not know: {dict(manifest['capture'])}")
        return info

    def fingerprints(self, run: CaptureRun) -> dict[str, Any]:
        """What a request states of a run that has begun."""
        # A probe of schema_version 1 has another form of the id.
        capture_id = self.capture_id if run.settings == self.capture else run.settings.capture_id
        return {"capture_id": capture_id, "conditions_id": fingerprint(run.conditions), "conditions": run.conditions}

    def differences(self, run: CaptureRun) -> dict[str, tuple[Any, Any]]:
        """How a run differs from the probe's capture and conditions: path -> (of the run, of the probe)."""
        if run.conditions is None:
            return {}
        stated = self.conditions if isinstance(self.conditions, Mapping) else {}
        known = {name: value for name, value in run.conditions.items() if name in stated}
        return differences(asdict(run.settings), asdict(self.capture)) | differences(known, stated)

    def plan(self, policy: Mapping[str, Any] | None) -> RunPlan | None:
        """The plan of the policy `plan`; None for any other. Raises NoProbeError for a budget without a plan."""
        try:
            return run_plan(policy, self.manifest)
        except ValueError as error:
            raise NoProbeError(f"{self.model}: {error}") from error

    def choose_steps(self, wanted: Sequence[int] | None) -> tuple[int, ...]:
        """The wanted steps, or the decision point nearest to a fifth of the run.

        Raises NoProbeError for a step that is not a decision point.
        """
        if wanted is None:
            wanted_step = DEFAULT_SHARE * total_steps_of(self.manifest)
            return (min(self.steps, key=lambda step: abs(step - wanted_step)),)
        unknown = sorted(set(wanted) - set(self.steps))
        if unknown:
            raise NoProbeError(f"{self.model} cannot score at step {unknown[0]}: expected some of {list(self.steps)}")
        return tuple(sorted(set(wanted)))


def served_probe(models: Sequence[Model] | None, model: str | None, family: str) -> ProbeInfo:
    """The probe that scores requests for `model`, for a pipeline of that family; None: the service's default.

    Raises NoProbeError.
    """
    if models is None:
        raise NoProbeError("the service did not list its probes")
    served = [entry for entry in models if entry.state in (SERVING, AVAILABLE) and entry.contract is not None]
    found = [
        entry
        for entry in served
        if model == f"{entry.name}@{entry.version}" or (entry.state == SERVING and model in (None, entry.name))
    ]
    if model is None and len(found) > 1:
        raise NoProbeError(f"the service has several probes: name one of {', '.join(entry.name for entry in found)}")
    if not found:
        raise NoProbeError(f"the service serves no probe {model or ''}".rstrip())
    entry = found[0]
    return ProbeInfo.read(model or entry.name, {"name": entry.name, "version": entry.version, **(entry.contract or {})}, family)
