"""The client of the service: `ProbeClient`, and `AsyncProbeClient` for asyncio. It needs no further package than this one."""

from .clients import AsyncProbeClient, ProbeClient
from .errors import InvalidInputError, RefusedError
from .group import Kept, SampleGroup
from .requests import ScoreOptions
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
    "RefusedError",
    "RefusedReceipt",
    "SampleGroup",
    "SampleResult",
    "ScoreFailure",
    "ScoreOptions",
    "ScoreOutcome",
    "ScoredGroup",
    "UnscoredGroup",
]
