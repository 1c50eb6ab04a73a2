"""What a probe wants captured, and when: from the service that serves it, or from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..client import Model
from ..probe.manifest import Capture, read_manifest

# Where the paper asks: early enough to save most of a run, late enough for maps to have a shape.
DEFAULT_SHARE = 0.2
SERVING, AVAILABLE = "serving", "available"


class NoProbeError(ValueError):
    """There is no probe to guard with, or none that this package can capture for."""


@dataclass(frozen=True)
class Contract:
    """A probe's name, how it wants attention captured, and the steps at which it can judge."""

    model: str
    capture: Capture
    steps: tuple[int, ...]

    def steps_to_judge(self, wanted: Sequence[int] | None) -> tuple[int, ...]:
        """The wanted steps, else the one nearest to a fifth of the run. Raises NoProbeError for one it cannot judge."""
        if wanted is None:
            return (min(self.steps, key=lambda step: abs(step - DEFAULT_SHARE * self.capture.total_steps)),)
        unknown = sorted(set(wanted) - set(self.steps))
        if unknown:
            raise NoProbeError(f"{self.model} cannot judge at step {unknown[0]}: expected some of {list(self.steps)}")
        return tuple(sorted(set(wanted)))


def contract_from_folder(folder: Path) -> Contract:
    """Of a probe on disk. Raises FileNotFoundError where there is none, and NoProbeError."""
    manifest = read_manifest(folder)
    return _contract(f"{manifest['name']}@{manifest['version']}", manifest)


def contract_from_models(models: Sequence[Model] | None, model: str | None) -> Contract:
    """Of the probe that requests mean by `model`, None for the service's default. Raises NoProbeError."""
    if models is None:
        raise NoProbeError("the service does not say which probes it has")
    served = [one for one in models if one.state in (SERVING, AVAILABLE) and one.contract is not None]
    if model is None:
        found = [one for one in served if one.state == SERVING]
        if len(found) > 1:
            raise NoProbeError(f"the service has several probes: name one of {', '.join(one.name for one in found)}")
    else:
        found = [one for one in served if model == f"{one.name}@{one.version}" or (model == one.name and one.state == SERVING)]
    if not found:
        raise NoProbeError(f"the service serves no probe {model or ''}".rstrip())
    return _contract(model or found[0].name, found[0].contract or {})


def _contract(model: str, manifest: Mapping[str, Any]) -> Contract:
    try:
        known = {field.name for field in fields(Capture)}
        capture = Capture.from_dict({name: value for name, value in manifest["capture"].items() if name in known})
        contract = Contract(model, capture, tuple(point["step"] for point in manifest["decision_points"]))
        capture_id = manifest["capture_id"]
    except (KeyError, TypeError, AttributeError) as error:
        raise NoProbeError(f"what {model} wants captured makes no sense: {error!r}") from error
    if capture.capture_id != capture_id:
        raise NoProbeError(f"{model} was captured with settings that this version does not know: {dict(manifest['capture'])}")
    return contract
