"""Checks the arguments of `score` and encodes them as the body of a request."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from safetensors import TensorSpec, serialize

from ..fingerprint import canonical_json, digest
from .arguments import brief, count, finite, text
from .errors import InvalidInputError
from .tensors import NUMBER_DTYPES, as_array, dtype_name, is_tensor, widened

if TYPE_CHECKING:
    from .tensors import Tensor

ATTENTION_DTYPES = ("float16", "bfloat16", "float32")
SIGNAL_DTYPES = (*ATTENTION_DTYPES, "uint8", "int64")
MASK_DTYPES = ("bool", "uint8", "int32", "int64")  # tokenizers give the last two
AXES = ("batch", "layers", "tokens", "height", "width")


class ScoreOptions(TypedDict, total=False):
    """The optional arguments of `score`."""

    token_mask: Tensor | None  # [batch, tokens] bool or whole numbers, 1 or True for a real token; all when omitted
    signals: Mapping[str, Tensor] | None  # further inputs, by the names that the probe declares; [batch, ...]
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

    tensors: dict[str, np.ndarray]  # contiguous and little-endian; bfloat16 as BFLOAT16
    metadata: dict[str, str]
    conditions: StatedConditions | None = None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.tensors["attention"])

    def encode(self, metadata: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The body, in safetensors format. `metadata` is added to the request's own."""
        tensors = {
            name: TensorSpec(dtype=dtype_name(array), shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
            for name, array in self.tensors.items()
        }
        return serialize(tensors, {**self.metadata, **metadata})


def score_request(attention: Tensor, timestep: float | Tensor, options: ScoreOptions | None = None) -> ScoreRequest:
    """Check and convert the arguments of `score`. Raises InvalidInputError, and TypeError for an unknown option."""
    given: Mapping[str, Any] = {**(options or {})}
    unknown = set(given) - set(ScoreOptions.__annotations__)
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}: expected {', '.join(ScoreOptions.__annotations__)}")
    attention = as_array("attention", attention, ATTENTION_DTYPES)
    if attention.ndim != len(AXES) or 0 in attention.shape:
        raise InvalidInputError("attention", _shape(attention), f"[{', '.join(AXES)}], none of them 0")
    batch, _, tokens = attention.shape[:3]
    tensors = {
        **_signals(given.get("signals") or {}, batch),
        "attention": attention,
        "token_mask": _token_mask(given.get("token_mask"), (batch, tokens)),
        "timestep": _timestep(timestep, batch),
    }
    return ScoreRequest(tensors, _metadata(given, batch), _conditions(given.get("conditions"), given.get("conditions_id")))


def _signals(signals: Mapping[str, Tensor], batch: int) -> dict[str, np.ndarray]:
    checked = {}
    for name, signal in signals.items():
        if name in ("attention", "token_mask", "timestep"):
            raise InvalidInputError("signals", name, "names other than attention, token_mask and timestep")
        checked[name] = array = as_array(name, signal, SIGNAL_DTYPES)
        if array.ndim < 1 or len(array) != batch:
            raise InvalidInputError(name, _shape(array), f"[{batch}, ...], one row per sample")
    return checked


def _token_mask(mask: Tensor | None, shape: tuple[int, int]) -> np.ndarray:
    if mask is None:
        return np.ones(shape, np.uint8)
    array = as_array("token_mask", mask, MASK_DTYPES)
    if array.shape != shape:
        raise InvalidInputError("token_mask", _shape(array), f"{list(shape)}, batch and tokens of attention")
    if array.dtype.itemsize > 1 and not np.isin(array, (0, 1)).all():
        raise InvalidInputError("token_mask", f"from {array.min()} to {array.max()}", "0 and 1")
    return array.astype(np.uint8)


def _timestep(timestep: float | Tensor, batch: int) -> np.ndarray:
    if isinstance(timestep, numbers.Real):
        return np.full(batch, finite("timestep", timestep), np.float32)
    if not is_tensor(timestep):
        raise InvalidInputError("timestep", f"a {type(timestep).__name__}", f"a number, or [{batch}], one per sample")
    values = widened(as_array("timestep", timestep, NUMBER_DTYPES)).astype(np.float32)
    if values.ndim and values.shape != (batch,):
        raise InvalidInputError("timestep", _shape(values), f"a number, or [{batch}], one per sample")
    return np.full(batch, values) if values.ndim == 0 else values


def _metadata(options: Mapping[str, Any], batch: int) -> dict[str, str]:
    texts = {name: text(name, options[name]) for name in ("model", "group", "capture_id") if options.get(name) is not None}
    counts = {name: str(count(name, options[name])) for name in ("step", "total_steps") if options.get(name) is not None}
    return {**texts, **counts, **_policy(options.get("policy")), **_sample_ids(options.get("sample_ids"), batch)}


def _conditions(conditions: Mapping[str, Any] | None, given_id: str | None) -> StatedConditions | None:
    given_id = None if given_id is None else text("conditions_id", given_id)
    if conditions is None:
        return None if given_id is None else StatedConditions(given_id, None)
    if not isinstance(conditions, Mapping):
        raise InvalidInputError("conditions", f"a {type(conditions).__name__}", "a JSON object")
    try:
        document = canonical_json(conditions)
        return StatedConditions(given_id or digest(document.encode()), document)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError("conditions", brief(conditions), f"a JSON object ({error})") from error


def _policy(policy: Mapping[str, Any] | None) -> dict[str, str]:
    if policy is None:
        return {}
    if not isinstance(policy, Mapping) or not isinstance(policy.get("name"), str):
        raise InvalidInputError("policy", brief(policy), "an object with a name, such as {'name': 'top_k', 'k': 2}")
    try:
        return {"policy": json.dumps(dict(policy), allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise InvalidInputError("policy", brief(policy), f"a JSON object ({error})") from error


def _sample_ids(sample_ids: Sequence[str] | None, batch: int) -> dict[str, str]:
    if sample_ids is None:
        return {}
    if isinstance(sample_ids, str) or len(sample_ids) != batch or not all(isinstance(name, str) for name in sample_ids):
        raise InvalidInputError("sample_ids", brief(sample_ids), f"{batch} texts, one per sample")
    return {"sample_ids": json.dumps(list(sample_ids))}


def _shape(array: np.ndarray) -> str:
    return str(list(array.shape))
