"""The client of the service: `ProbeClient` and, for programs on asyncio, `AsyncProbeClient`. Needs numpy, safetensors, httpx."""

from .answers import (
    Decision,
    FeedbackAnswer,
    Model,
    Problem,
    RefusedReceipt,
    SampleResult,
    ScoredGroup,
    ScoreFailure,
    ScoreOutcome,
    UnscoredGroup,
)
from .clients import AsyncProbeClient, ProbeClient
from .requests import InvalidInputError, ScoreOptions

__all__ = [
    "AsyncProbeClient",
    "Decision",
    "FeedbackAnswer",
    "InvalidInputError",
    "Model",
    "ProbeClient",
    "Problem",
    "RefusedReceipt",
    "SampleResult",
    "ScoreFailure",
    "ScoreOptions",
    "ScoreOutcome",
    "ScoredGroup",
    "UnscoredGroup",
]
