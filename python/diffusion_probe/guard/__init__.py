"""The guard: runs a diffusers pipeline and stops the samples that the service drops."""

from .probe_guard import ProbeGuard
from .ranks import RankedGroup
from .result import GuardedSample, GuardFailure, GuardResult, Judgement

__all__ = ["GuardFailure", "GuardResult", "GuardedSample", "Judgement", "ProbeGuard", "RankedGroup"]
