"""The plan that a policy asks for: at which steps a guard asks by itself, and what the run will cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..probe.manifest import total_steps_of
from .plan import Plan


@dataclass(frozen=True)
class RunPlan:
    """How many samples of a prompt to start, how many live on after each decision point, and what that costs."""

    seeds: int  # to start per prompt: `num_images_per_prompt` of the pipeline
    keep: Mapping[int, int]  # step -> samples that live on
    calls: int  # denoiser calls of all samples of a prompt together
    expected: Mapping[str, Any] | None  # `expected` of the probe's plan; None for a plan that the policy writes out


def run_plan(policy: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> RunPlan | None:
    """The plan of the policy `plan`; None for any other.

    Raises ValueError for a budget without a plan, and where the manifest does not state the steps of a run.
    """
    if policy is None or policy.get("name") != "plan":
        return None
    plan: Mapping[str, Any] = policy
    if "keep" not in policy:
        plans = {entry["budget"]: entry for entry in manifest.get("plans", [])}
        if policy.get("budget") not in plans:
            known = f"expected one of {list(plans)}" if plans else "it has none, 'diffusion-probe plan --write' makes them"
            raise ValueError(f"the probe has no plan for the budget {policy.get('budget')}: {known}")
        plan = plans[policy["budget"]]
    keep = dict(sorted((int(step), count) for step, count in plan["keep"].items()))
    calls = Plan(plan["seeds"], tuple(keep.items())).calls(total_steps_of(manifest))
    return RunPlan(plan["seeds"], keep, calls, plan.get("expected"))
