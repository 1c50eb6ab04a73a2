"""The guard: a pipeline of diffusers that stops the samples which a probe's service gives up."""

from .probe_guard import ProbeGuard
from .result import GuardedSample, GuardFailure, GuardResult, Judgement

__all__ = ["GuardFailure", "GuardResult", "GuardedSample", "Judgement", "ProbeGuard"]
