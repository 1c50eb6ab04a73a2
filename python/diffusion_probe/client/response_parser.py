"""Parses response bodies. Unknown members are ignored, so that an older client works with a newer service."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from .responses import FeedbackAnswer, Model, Problem, RefusedReceipt, SampleResult, ScoredGroup, ScoreFailure

Kind = TypeVar("Kind")


class MalformedResponseError(Exception):
    """The body is not what the service's endpoint returns."""


def parse_score(body: bytes, samples: int) -> ScoredGroup | ScoreFailure:
    """A 200 of /score for this many samples. Raises MalformedResponseError."""
    response = _mapping(_json(body), "the response")
    outcome = response.get("outcome")
    if outcome == "failed_open":
        return ScoreFailure(_member(response, "reason", str))
    if outcome != "scored":
        raise MalformedResponseError(f"outcome is {outcome!r}: expected 'scored' or 'failed_open'")
    results = tuple(_sample_result(_mapping(entry, "a result")) for entry in _member(response, "results", list))
    if [result.index for result in results] != list(range(samples)):
        raise MalformedResponseError(f"results are for {[result.index for result in results]}: expected {samples} in order")
    return ScoredGroup(
        model=_member(response, "model", str),
        version=_member(response, "version", int),
        provider=_member(response, "provider", str),
        policy=_mapping(response.get("policy"), "policy"),
        results=results,
        # Services of version 0.2 do not compare conditions.
        conditions=_optional(response, "conditions", str) or "unstated",
        foreign_conditions=tuple(str(path) for path in _optional(response, "foreign_conditions", list) or ()),
    )


def parse_feedback(body: bytes) -> FeedbackAnswer:
    """A 200 of /feedback. Raises MalformedResponseError."""
    response = _mapping(_json(body), "the response")
    refused = (_mapping(entry, "a refused receipt") for entry in _member(response, "refused", list))
    return FeedbackAnswer(
        accepted=_member(response, "accepted", int),
        refused=tuple(RefusedReceipt(_member(entry, "index", int), _member(entry, "reason", str)) for entry in refused),
    )


def parse_models(body: bytes) -> tuple[Model, ...]:
    """A 200 of /models. Raises MalformedResponseError."""
    entries = _member(_mapping(_json(body), "the response"), "models", list)
    return tuple(
        Model(
            name=_member(entry, "name", str),
            version=_member(entry, "version", int),
            state=_member(entry, "state", str),
            contract=None if entry.get("contract") is None else _mapping(entry["contract"], "contract"),
        )
        for entry in (_mapping(entry, "a model") for entry in entries)
    )


def parse_problem(body: bytes) -> Problem | None:
    """The problem document of an error response; None if the body is something else."""
    try:
        document = _mapping(_json(body), "the problem")
        return Problem(
            code=_member(document, "code", str),
            title=_member(document, "title", str),
            status=_member(document, "status", int),
            detail=_member(document, "detail", str),
            field=document.get("field"),
            received=document.get("received"),
            expected=document.get("expected"),
        )
    except MalformedResponseError:
        return None


def _sample_result(entry: Mapping[str, Any]) -> SampleResult:
    decision = entry.get("decision")
    if decision not in ("keep", "drop"):
        raise MalformedResponseError(f"decision is {decision!r}: expected 'keep' or 'drop'")
    return SampleResult(
        index=_member(entry, "index", int),
        id=_optional(entry, "id", str),
        score=_member(entry, "score", float),
        percentile=_optional(entry, "percentile", float),
        p_good=_optional(entry, "p_good", float),
        rank=_member(entry, "rank", int),
        threshold=_optional(entry, "threshold", float),
        would_drop=_member(entry, "would_drop", bool),
        override=_optional(entry, "override", str),
        decision=decision,
        reason=_member(entry, "reason", str),
        receipt=_optional(entry, "receipt", str),
    )


def _json(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedResponseError(f"the body is not JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedResponseError(f"{name} is {type(value).__name__}: expected an object")
    return value


def _member(entry: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """The member `name` of an object, which must be a `kind`. `float` accepts every finite number."""
    value = entry.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise MalformedResponseError(f"{name} is {value!r}: expected {kind.__name__}")
    return value


def _optional(entry: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind | None:
    return None if entry.get(name) is None else _member(entry, name, kind)
