"""The probe and the plan that a policy names, from what the service lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..client import Model
from ..planning.run_plan import RunPlan, run_plan
from ..probe.probe_info import NoProbeError, ProbeInfo

SERVING, AVAILABLE = "serving", "available"


def plan_of(info: ProbeInfo, policy: Mapping[str, Any] | None) -> RunPlan | None:
    """The plan of the policy `plan`; None for any other. Raises NoProbeError for a budget without a plan."""
    try:
        return run_plan(policy, info.manifest)
    except ValueError as error:
        raise NoProbeError(f"{info.model}: {error}") from error


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
