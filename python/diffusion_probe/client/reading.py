"""From the bytes of an answer to its dataclass. It asks for no more than the client needs and ignores the rest, so that a newer
service does not look broken to an older client."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from .answers import FeedbackAnswer, Model, Problem, RefusedReceipt, SampleResult, ScoredGroup, ScoreFailure

Kind = TypeVar("Kind")


class MalformedAnswerError(Exception):
    """What came is no answer of the service."""


def read_score(body: bytes, samples: int) -> ScoredGroup | ScoreFailure:
    """The body of a 200 of /score for this many samples. Raises MalformedAnswerError."""
    answer = _mapping(_parse(body), "the answer")
    outcome = answer.get("outcome")
    if outcome == "failed_open":
        return ScoreFailure(_text(answer, "reason"))
    if outcome != "scored":
        raise MalformedAnswerError(f"outcome is {outcome!r}: expected 'scored' or 'failed_open'")
    results = tuple(_result(_mapping(entry, "a result")) for entry in _list(answer, "results"))
    if [result.index for result in results] != list(range(samples)):
        raise MalformedAnswerError(f"results are for {[result.index for result in results]}: expected {samples} in order")
    return ScoredGroup(
        model=_text(answer, "model"),
        version=_whole(answer, "version"),
        provider=_text(answer, "provider"),
        policy=_mapping(answer.get("policy"), "policy"),
        results=results,
    )


def read_feedback(body: bytes) -> FeedbackAnswer:
    """The body of a 200 of /feedback. Raises MalformedAnswerError."""
    answer = _mapping(_parse(body), "the answer")
    refused = (_mapping(entry, "a refusal") for entry in _list(answer, "refused"))
    return FeedbackAnswer(
        accepted=_whole(answer, "accepted"),
        refused=tuple(RefusedReceipt(_whole(entry, "index"), _text(entry, "reason")) for entry in refused),
    )


def read_models(body: bytes) -> tuple[Model, ...]:
    """The body of a 200 of /models. Raises MalformedAnswerError."""
    entries = (_mapping(entry, "a model") for entry in _list(_mapping(_parse(body), "the answer"), "models"))
    return tuple(
        Model(
            name=_text(entry, "name"),
            version=_whole(entry, "version"),
            state=_text(entry, "state"),
            contract=None if entry.get("contract") is None else _mapping(entry["contract"], "contract"),
        )
        for entry in entries
    )


def read_problem(body: bytes) -> Problem | None:
    """The body of an error; None when it is no problem document."""
    try:
        document = _mapping(_parse(body), "the problem")
        return Problem(
            code=_text(document, "code"),
            title=_text(document, "title"),
            status=_whole(document, "status"),
            detail=_text(document, "detail"),
            field=document.get("field"),
            received=document.get("received"),
            expected=document.get("expected"),
        )
    except MalformedAnswerError:
        return None


def _result(entry: Mapping[str, Any]) -> SampleResult:
    decision = entry.get("decision")
    if decision not in ("keep", "drop"):
        raise MalformedAnswerError(f"decision is {decision!r}: expected 'keep' or 'drop'")
    return SampleResult(
        index=_whole(entry, "index"),
        id=_optional(_text, entry, "id"),
        score=_number(entry, "score"),
        percentile=_optional(_number, entry, "percentile"),
        p_good=_optional(_number, entry, "p_good"),
        rank=_whole(entry, "rank"),
        threshold=_optional(_number, entry, "threshold"),
        would_drop=_flag(entry, "would_drop"),
        override=_optional(_text, entry, "override"),
        decision=decision,
        reason=_text(entry, "reason"),
        receipt=_optional(_text, entry, "receipt"),
    )


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"it is no JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedAnswerError(f"{name} is {type(value).__name__}: expected an object")
    return value


def _list(entry: Mapping[str, Any], name: str) -> list[Any]:
    return _of_type(entry, name, list)


def _text(entry: Mapping[str, Any], name: str) -> str:
    return _of_type(entry, name, str)


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    return _of_type(entry, name, bool)


def _whole(entry: Mapping[str, Any], name: str) -> int:
    return _of_type(entry, name, int)


def _number(entry: Mapping[str, Any], name: str) -> float:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedAnswerError(f"{name} is {value!r}: expected a number")
    return float(value)


def _optional(read: Any, entry: Mapping[str, Any], name: str) -> Any:
    return None if entry.get(name) is None else read(entry, name)


def _of_type(entry: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    value = entry.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MalformedAnswerError(f"{name} is {value!r}: expected {kind.__name__}")
    return value
