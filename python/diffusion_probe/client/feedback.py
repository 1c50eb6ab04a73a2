"""Checks the arguments of `feedback` and encodes them as the body of a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import brief, finite
from .errors import InvalidInputError
from .tensors import NUMBER_DTYPES, as_array, is_tensor, widened

if TYPE_CHECKING:
    from .tensors import Tensor

MAX_FEEDBACK = 1000  # receipts per request, the service's limit


def feedback_body(receipts: Sequence[str], quality: float | Sequence[float] | Tensor) -> bytes:
    """The JSON body of /feedback. Raises InvalidInputError."""
    if isinstance(receipts, str):
        receipts = [receipts]
    if not receipts or len(receipts) > MAX_FEEDBACK or not all(isinstance(receipt, str) for receipt in receipts):
        raise InvalidInputError("receipts", brief(receipts), f"1 to {MAX_FEEDBACK} receipts from /score")
    if is_tensor(quality):
        quality = widened(as_array("quality", quality, NUMBER_DTYPES)).tolist()
    qualities = list(quality) if isinstance(quality, Sequence) else [quality] * len(receipts)
    if len(qualities) != len(receipts):
        raise InvalidInputError("quality", f"{len(qualities)} values", f"one number, or one per receipt: {len(receipts)}")
    items = [
        {"receipt": receipt, "quality": finite("quality", value)} for receipt, value in zip(receipts, qualities, strict=True)
    ]
    return json.dumps({"feedback": items}).encode()
