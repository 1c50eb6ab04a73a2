"""How prompts are optimized with one probe: the step of the look, the score below which a prompt is rewritten, and the plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..evaluation.trajectories import read_trajectories
from ..planning.plan import Plan
from ..planning.runs import runs_of
from ..planning.within import plan_within
from ..probe.manifest import total_steps_of
from ..probe.probe_info import ProbeInfo
from .threshold import ALWAYS, NEVER, Threshold, calibrated_threshold, lowest_share

CANDIDATES = 6


@dataclass(frozen=True)
class Wish:
    """What the caller asks for."""

    tau: float | None = None  # None: that of the calibration; ALWAYS and NEVER need no look
    lowest: float | None = None  # in place of tau: rewrite so large a share, 0 to 1, of the calibration's images
    budget: float | None = None  # whole images' worth of denoiser calls, look and rewrites included; None: one finished image
    candidates: int = CANDIDATES  # rewrites at most
    look_step: int | None = None  # None: the decision point nearest to a fifth of the run
    look_seeds: int = 1  # of the prompt as given
    rewriter_calls: float = 0.0  # the price of an answer of the rewriter in denoiser calls, for tau


@dataclass(frozen=True)
class Course:
    """What the wish means for one probe."""

    step: int  # of the look and of the candidates' scores
    tau: float
    threshold: Threshold | None  # where tau is that of the calibration
    plan: Plan | None  # after the look; None without a budget
    candidates: int

    def require_room(self) -> None:
        """Raises ValueError where the budget leaves no sample for a rewrite."""
        if self.plan is not None and self.plan.seeds < 2 and self.tau != NEVER:
            raise ValueError("with what the look leaves the plan draws one sample: a rewrite needs a higher --budget")

    @property
    def looks(self) -> bool:
        """Whether the score of the prompt as given decides."""
        return self.tau not in (ALWAYS, NEVER)

    @classmethod
    def of(cls, wish: Wish, info: ProbeInfo, folder: Path | None, final: str) -> Course:
        """`folder`: of the probe, if it is at hand. `final`: as in planning.planner.Wish.

        Raises ValueError for a budget that is too small, and where tau is to be computed without trajectories.
        """
        manifest = info.manifest
        (step,) = info.choose_steps(None if wish.look_step is None else [wish.look_step])
        threshold = None
        tau = wish.tau
        if tau is None:
            if folder is None:
                raise ValueError("tau is computed from the trajectories in the folder of the probe: name that folder, or a tau")
            runs = runs_of(read_trajectories(folder, manifest), total_steps_of(manifest))
            if wish.lowest is None:
                threshold = calibrated_threshold(runs, step, wish.candidates, wish.rewriter_calls)
            tau = threshold.tau if threshold else lowest_share(runs, step, wish.lowest or 0.0)
        if wish.budget is None:
            return cls(step, tau, threshold, None, wish.candidates)
        spent = 0 if tau in (ALWAYS, NEVER) else wish.look_seeds * step
        total_steps = total_steps_of(manifest)
        rest = wish.budget * total_steps - spent
        if rest < total_steps:
            least = (total_steps + spent) / total_steps
            raise ValueError(f"a budget of {wish.budget:g} whole images: expected at least {least:g}, an image and the look")
        plan = plan_within(rest, manifest, folder, final)
        return cls(step, tau, threshold, plan, min(wish.candidates, plan.seeds - 1))
