"""Computes the fingerprint of a document: equal settings give equal fingerprints in every language."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

DIGITS = 16
MAX_SAFE_INTEGER = 2**53 - 1  # JSON readers that hold numbers as float64 round greater ones
LOWEST_PLAIN, HIGHEST_PLAIN = 1e-6, 1e21  # numbers outside of these are written with an exponent

_SURROGATE = re.compile("[\ud800-\udfff]")


def fingerprint(document: Any) -> str:
    """First 16 hex digits of the SHA-256 of the canonical JSON. Raises TypeError and ValueError for what JSON cannot hold."""
    return digest(canonical_json(document).encode())


def digest(content: bytes) -> str:
    """First 16 hex digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def canonical_json(value: Any) -> str:
    """JSON with members sorted by the UTF-16 code units of their names, no spaces, and numbers as ECMAScript writes them.

    Raises TypeError for a type that JSON does not have, and ValueError for a number that is not finite.
    """
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(name)}:{canonical_json(value[name])}" for name in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(canonical_json(item) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return _number(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def _text(value: str) -> str:
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _number(value: float) -> str:
    """As Number.prototype.toString of ECMA-262 writes it."""
    if isinstance(value, int) and abs(value) <= MAX_SAFE_INTEGER:
        return str(int(value))
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    sign = "-" if value < 0 else ""
    mantissa, exponent = repr(abs(value)).partition("e")[::2]
    whole, fraction = mantissa.partition(".")[::2]
    digits = (whole + fraction).lstrip("0").rstrip("0")
    if not digits:
        return "0"
    # value = 0.digits * 10**point
    point = int(exponent or 0) + (len(whole) if whole.strip("0") else -(len(fraction) - len(fraction.lstrip("0"))))
    if LOWEST_PLAIN <= abs(value) < HIGHEST_PLAIN:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        if len(digits) <= point:
            return sign + digits.ljust(point, "0")
        return f"{sign}{digits[:point]}.{digits[point:]}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
