"""The client of the service: `ProbeClient`, and `AsyncProbeClient` for asyncio. It needs numpy, safetensors and httpx."""

from .clients import AsyncProbeClient, ProbeClient
from .group import Kept, SampleGroup
from .requests import InvalidInputError, ScoreOptions
from .responses import (
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

__all__ = [
    "AsyncProbeClient",
    "Decision",
    "FeedbackAnswer",
    "InvalidInputError",
    "Kept",
    "Model",
    "ProbeClient",
    "Problem",
    "RefusedReceipt",
    "SampleGroup",
    "SampleResult",
    "ScoreFailure",
    "ScoreOptions",
    "ScoreOutcome",
    "ScoredGroup",
    "UnscoredGroup",
]
