"""What a manifest says to those who ask a probe: how its attention is captured, and at which steps it can score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..conditions.differences import Conditions, differences
from ..fingerprint import fingerprint
from .manifest import Capture, total_steps_of

DEFAULT_SHARE = 0.2  # of the run, as in the paper: early enough to save most steps, late enough for maps to show the objects
NO_PROBE = "no_probe"


class NoProbeError(ValueError):
    """There is no probe to guard with, or none that this package can capture for. `reason`: of the failure."""

    def __init__(self, text: str, reason: str = NO_PROBE):
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class ProbeInfo:
    """What must be known about a probe to ask it."""

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

    def fingerprints(self, capture: Capture, conditions: Conditions | None) -> dict[str, Any]:
        """What a request states of a run with this capture and these conditions."""
        # A probe of schema_version 1 has another form of the id.
        capture_id = self.capture_id if capture == self.capture else capture.capture_id
        return {"capture_id": capture_id, "conditions_id": fingerprint(conditions), "conditions": conditions}

    def differences(self, capture: Capture, conditions: Conditions | None) -> dict[str, tuple[Any, Any]]:
        """How a run differs from the probe's capture and conditions: path -> (of the run, of the probe)."""
        if conditions is None:
            return {}
        stated = self.conditions if isinstance(self.conditions, Mapping) else {}
        known = {name: value for name, value in conditions.items() if name in stated}
        return differences(asdict(capture), asdict(self.capture)) | differences(known, stated)

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
