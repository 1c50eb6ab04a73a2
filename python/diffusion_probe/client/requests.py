"""Checks the arguments of a call and encodes them as the body of a request."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypedDict

import numpy as np
from safetensors.numpy import save

from ..fingerprint import canonical_json, digest

ATTENTION_DTYPES = (np.float16, np.float32)
SIGNAL_DTYPES = (np.float16, np.float32, np.uint8, np.int64)
AXES = ("batch", "layers", "tokens", "height", "width")
MAX_FEEDBACK = 1000  # receipts per request, the service's limit


class InvalidInputError(ValueError):
    """An argument is wrong. Says which field, what was received and what was expected."""

    def __init__(self, field: str, received: object, expected: str):
        super().__init__(f"{field} is {received}: expected {expected}")
        self.field = field
        self.received = received
        self.expected = expected


class ScoreOptions(TypedDict, total=False):
    """The optional arguments of `score`."""

    token_mask: np.ndarray | None  # [batch, tokens] bool or uint8, 1 or True for a real token; all when omitted
    signals: Mapping[str, np.ndarray] | None  # further inputs, by the names that the probe declares; [batch, ...]
    model: str | None  # `name` or `name@version`; the service's default when omitted
    policy: Mapping[str, Any] | None  # such as {"name": "top_k", "k": 2}; the service's default when omitted
    group: str | None  # a name for the prompt
    sample_ids: Sequence[str] | None  # one per sample
    step: int | None  # counts the denoiser's evaluations from 1
    total_steps: int | None
    capture_id: str | None  # the fingerprint of what was read
    conditions: Mapping[str, Any] | None  # how the images are drawn, a JSON object
    conditions_id: str | None  # the fingerprint of `conditions`; computed when omitted


@dataclass(frozen=True)
class StatedConditions:
    """How the images of a request are drawn."""

    id: str  # the fingerprint
    document: str | None  # as JSON; None: only the fingerprint is given


@dataclass(frozen=True)
class ScoreRequest:
    """The checked tensors and metadata of a request."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    conditions: StatedConditions | None = None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.tensors["attention"])

    def encode(self, metadata: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The body, in safetensors format. `metadata` is added to the request's own."""
        return save(self.tensors, {**self.metadata, **metadata})


def score_request(attention: np.ndarray, timestep: float | np.ndarray, options: ScoreOptions | None = None) -> ScoreRequest:
    """Check and convert the arguments of `score`. Raises InvalidInputError, and TypeError for an unknown option."""
    given: Mapping[str, Any] = {**(options or {})}
    unknown = set(given) - set(ScoreOptions.__annotations__)
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}: expected {', '.join(ScoreOptions.__annotations__)}")
    attention = _array("attention", attention, ATTENTION_DTYPES)
    if attention.ndim != len(AXES) or 0 in attention.shape:
        raise InvalidInputError("attention", _shape(attention), f"[{', '.join(AXES)}], none of them 0")
    batch, _, tokens = attention.shape[:3]
    tensors = {
        **_signals(given.get("signals") or {}, batch),
        "attention": attention,
        "token_mask": _token_mask(given.get("token_mask"), (batch, tokens)),
        "timestep": _timestep(timestep, batch),
    }
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return ScoreRequest(contiguous, _metadata(given, batch), _conditions(given.get("conditions"), given.get("conditions_id")))


def feedback_body(receipts: Sequence[str], quality: float | Sequence[float]) -> bytes:
    """The JSON body of /feedback. Raises InvalidInputError."""
    if isinstance(receipts, str):
        receipts = [receipts]
    if not receipts or len(receipts) > MAX_FEEDBACK or not all(isinstance(receipt, str) for receipt in receipts):
        raise InvalidInputError("receipts", _brief(receipts), f"1 to {MAX_FEEDBACK} receipts from /score")
    qualities = list(quality) if isinstance(quality, Sequence | np.ndarray) else [quality] * len(receipts)
    if len(qualities) != len(receipts):
        raise InvalidInputError("quality", f"{len(qualities)} values", f"one number, or one per receipt: {len(receipts)}")
    items = [
        {"receipt": receipt, "quality": _finite("quality", value)} for receipt, value in zip(receipts, qualities, strict=True)
    ]
    return json.dumps({"feedback": items}).encode()


def deadline_seconds(deadline_ms: float) -> float:
    """A deadline in seconds. Raises InvalidInputError."""
    if not isinstance(deadline_ms, numbers.Real) or not math.isfinite(deadline_ms) or deadline_ms <= 0:
        raise InvalidInputError("deadline_ms", repr(deadline_ms), "a number of milliseconds above 0")
    return float(deadline_ms) / 1000


def _signals(signals: Mapping[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
    checked = {}
    for name, signal in signals.items():
        if name in ("attention", "token_mask", "timestep"):
            raise InvalidInputError("signals", name, "names other than attention, token_mask and timestep")
        checked[name] = _array(name, signal, SIGNAL_DTYPES)
        if signal.ndim < 1 or len(signal) != batch:
            raise InvalidInputError(name, _shape(signal), f"[{batch}, ...], one row per sample")
    return checked


def _token_mask(mask: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if mask is None:
        return np.ones(shape, np.uint8)
    mask = _array("token_mask", mask, (np.bool_, np.uint8))
    if mask.shape != shape:
        raise InvalidInputError("token_mask", _shape(mask), f"{list(shape)}, batch and tokens of attention")
    return mask.astype(np.uint8)


def _timestep(timestep: float | np.ndarray, batch: int) -> np.ndarray:
    if isinstance(timestep, numbers.Real):
        return np.full(batch, _finite("timestep", timestep), np.float32)
    values = _array("timestep", timestep, (np.float32, np.float64))
    if values.shape != (batch,):
        raise InvalidInputError("timestep", _shape(values), f"a number, or [{batch}], one per sample")
    return values.astype(np.float32)


def _metadata(options: Mapping[str, Any], batch: int) -> dict[str, str]:
    texts = {name: _text(name, options[name]) for name in ("model", "group", "capture_id") if options.get(name) is not None}
    counts = {name: str(_count(name, options[name])) for name in ("step", "total_steps") if options.get(name) is not None}
    return {**texts, **counts, **_policy(options.get("policy")), **_sample_ids(options.get("sample_ids"), batch)}


def _conditions(conditions: Mapping[str, Any] | None, given_id: str | None) -> StatedConditions | None:
    given_id = None if given_id is None else _text("conditions_id", given_id)
    if conditions is None:
        return None if given_id is None else StatedConditions(given_id, None)
    if not isinstance(conditions, Mapping):
        raise InvalidInputError("conditions", f"a {type(conditions).__name__}", "a JSON object")
    try:
        document = canonical_json(conditions)
        return StatedConditions(given_id or digest(document.encode()), document)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError("conditions", _brief(conditions), f"a JSON object ({error})") from error


def _policy(policy: Mapping[str, Any] | None) -> dict[str, str]:
    if policy is None:
        return {}
    if not isinstance(policy, Mapping) or not isinstance(policy.get("name"), str):
        raise InvalidInputError("policy", _brief(policy), "an object with a name, such as {'name': 'top_k', 'k': 2}")
    try:
        return {"policy": json.dumps(dict(policy), allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise InvalidInputError("policy", _brief(policy), f"a JSON object ({error})") from error


def _sample_ids(sample_ids: Sequence[str] | None, batch: int) -> dict[str, str]:
    if sample_ids is None:
        return {}
    if isinstance(sample_ids, str) or len(sample_ids) != batch or not all(isinstance(name, str) for name in sample_ids):
        raise InvalidInputError("sample_ids", _brief(sample_ids), f"{batch} texts, one per sample")
    return {"sample_ids": json.dumps(list(sample_ids))}


def _array(field: str, value: Any, dtypes: Sequence[type]) -> np.ndarray:
    expected = f"a numpy array of {' or '.join(np.dtype(dtype).name for dtype in dtypes)}"
    if not isinstance(value, np.ndarray):
        raise InvalidInputError(field, f"a {type(value).__name__}", expected)
    if value.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        raise InvalidInputError(field, value.dtype.name, expected)
    return value


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(field, f"a {type(value).__name__}", "a text")
    return value


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise InvalidInputError(field, repr(value), "a whole number from 1")
    return int(value)


def _finite(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InvalidInputError(field, repr(value), "a finite number")
    return float(value)


def _shape(array: np.ndarray) -> str:
    return str(list(array.shape))


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
