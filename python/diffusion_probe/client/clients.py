"""The two clients, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from .base import BaseClient, Prepare, ProcessState
from .call import Call
from .endpoints import Endpoints
from .group import SampleGroup
from .requests import ScoreOptions, score_request
from .responses import FeedbackAnswer, Model, ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup
from .settings import ClientSettings

if TYPE_CHECKING:
    from .tensors import Tensor

Answer = TypeVar("Answer")


class ProbeClient(BaseClient):
    """A client of one service. Any number of threads may share it, and so may child processes after a fork.

    client = ProbeClient("http://127.0.0.1:8080")
    outcome = client.score(attention, timestep=778.7, deadline_ms=50)

    A failure of the service or the network raises nothing: its outcome keeps every sample. A mistake of the caller raises
    InvalidInputError, a ValueError, or RefusedError with the service's description. Pickled, it is its arguments.
    """

    def score(
        self, attention: Tensor, timestep: float | Tensor, *, deadline_ms: float | None = None, **options: Unpack[ScoreOptions]
    ) -> ScoreOutcome:
        """Score a group.

        `attention`: float16, bfloat16 or float32 [batch, layers, tokens, height, width]. `timestep`: a number, or [batch].
        Arrays of NumPy or tensors of PyTorch, on any device.
        """
        answer = self._call(lambda to, ends: to.score(score_request(attention, timestep, options), ends), deadline_ms)
        return _outcome(answer, attention)

    def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float] | Tensor, *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """Report the true quality of finished images: one number for all receipts, or one for each.

        All receipts of one sample must be in one call. Returns None on failure; the feedback may then be lost.
        """
        return _or_none(self._call(lambda to, ends: to.feedback(receipts, quality, ends), deadline_ms))

    def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """Every version of every probe that the service has. Returns None on failure."""
        return _or_none(self._call(Endpoints.models, deadline_ms))

    def group(self, size: int, **options: Any) -> SampleGroup:
        """The `size` candidates of one prompt in a sampling loop. `options`: arguments of `score`, the same at every step."""
        return SampleGroup(self, range(size), options)

    def close(self) -> None:
        """Close the connections. Running and later calls fail with the reason `closed`."""
        self._is_closed = True
        self._here.close()

    def __enter__(self) -> ProbeClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, prepare: Prepare[Answer], deadline_ms: float | None) -> Answer | ScoreFailure:
        call = self._prepared(prepare, deadline_ms)
        return self._settled(call if isinstance(call, ScoreFailure) else self._here.endpoints.send(call))


class StateWithThreads(ProcessState):
    """With threads that wait for the answers."""

    def __init__(self, settings: ClientSettings):
        super().__init__(settings)
        self.threads = ThreadPoolExecutor(settings.connections, "diffusion-probe-client")

    def close(self) -> None:
        super().close()
        self.threads.shutdown(wait=False, cancel_futures=True)


class AsyncProbeClient(BaseClient):
    """A client for asyncio, in any number of event loops. Its calls wait in threads, one per connection.

    async with AsyncProbeClient("http://127.0.0.1:8080") as client:
        outcome = await client.score(attention, timestep=778.7, deadline_ms=50)

    Arguments, failures and mistakes are those of ProbeClient. A cancelled call ends its request.
    """

    _state_type = StateWithThreads

    async def score(
        self, attention: Tensor, timestep: float | Tensor, *, deadline_ms: float | None = None, **options: Unpack[ScoreOptions]
    ) -> ScoreOutcome:
        """As ProbeClient.score. The tensors are read before the first wait."""
        answer = await self._call(lambda to, ends: to.score(score_request(attention, timestep, options), ends), deadline_ms)
        return _outcome(answer, attention)

    async def feedback(
        self, receipts: Sequence[str], quality: float | Sequence[float] | Tensor, *, deadline_ms: float | None = None
    ) -> FeedbackAnswer | None:
        """As ProbeClient.feedback."""
        return _or_none(await self._call(lambda to, ends: to.feedback(receipts, quality, ends), deadline_ms))

    async def models(self, *, deadline_ms: float | None = None) -> tuple[Model, ...] | None:
        """As ProbeClient.models."""
        return _or_none(await self._call(Endpoints.models, deadline_ms))

    async def close(self) -> None:
        """As ProbeClient.close."""
        self._is_closed = True
        self._here.close()

    async def __aenter__(self) -> AsyncProbeClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _call(self, prepare: Prepare[Answer], deadline_ms: float | None) -> Answer | ScoreFailure:
        call = self._prepared(prepare, deadline_ms)
        return self._settled(call if isinstance(call, ScoreFailure) else await self._send(call))

    async def _send(self, call: Call[Answer]) -> Answer | ScoreFailure:
        import asyncio  # here: whoever awaits has imported it, and it is a quarter of the time that this package takes

        here = self._here
        try:
            sent = here.threads.submit(here.endpoints.send, call)
        except RuntimeError as error:  # closed meanwhile, or there can be no further thread
            return ScoreFailure("closed" if self._is_closed else "client_failed", error=error)
        answer = asyncio.wrap_future(sent)
        try:
            await asyncio.wait([answer], timeout=call.left())
            if not answer.done() and sent.cancel():
                return ScoreFailure("timeout", error=TimeoutError("nothing was sent: all connections were in use"))
            return await answer  # a call that runs ends by itself at its deadline
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if sent.cancelled() and not (task and task.cancelling()):  # by `close`, while it waited for a connection
                return ScoreFailure("closed")
            sent.cancel()
            call.cancel()
            raise


def _outcome(answer: ScoredGroup | ScoreFailure, attention: Tensor) -> ScoreOutcome:
    """Without scores: keep every sample."""
    if isinstance(answer, ScoredGroup):
        return answer
    try:
        samples = len(attention)
    except TypeError:  # an argument that is no group
        samples = 0
    return UnscoredGroup(answer.reason, answer.problem, answer.error, ("keep",) * samples)


def _or_none(answer: Answer | ScoreFailure) -> Answer | None:
    return None if isinstance(answer, ScoreFailure) else answer
