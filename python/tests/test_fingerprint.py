"""Fingerprints equal those of the service, which computes them in another language."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.fingerprint import canonical_json, fingerprint

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 3.0, "a": (1, 0.67), "c": {"z": True, "y": None}}, '{"a":[1,0.67],"b":3,"c":{"y":null,"z":true}}'),
        ([0.0, -0.0, -1.25, 100.0, 1e20, 123456789012345680000.0], "[0,0,-1.25,100,100000000000000000000,123456789012345680000]"),
        ([1e21, 1.5e300, 5e-324, 1e-7, 0.000001, 9.999e-7], "[1e+21,1.5e+300,5e-324,1e-7,0.000001,9.999e-7]"),
        ([2**53 + 1, 10**25], "[9007199254740992,1e+25]"),
        ('"\\\b\f\n\r\t\x01é\u2028\ud800', '"\\"\\\\\\b\\f\\n\\r\\t\\u0001é\u2028\\ud800"'),
        # By UTF-16 code units a character beyond the first 65,536 comes before U+FF5E.
        ({"\uff5e": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\uff5e":1}'),
    ],
)
def test_canonical_json_is_what_ecmascript_writes(value, text: str) -> None:
    assert canonical_json(value) == text


def test_the_example_of_the_contract() -> None:
    assert fingerprint({"dtype": "float16", "call": {"guidance_scale": 5.0}}) == "0dbe18def5e0f0e6"


@given(JSON_VALUES)
def test_canonical_json_is_json_of_the_same_value(value) -> None:
    text = canonical_json(value)
    # ECMAScript writes the shortest digits of a float64, which name no exact whole number above 2**53.
    assert json.loads(text, parse_int=float) == value
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, {"a": object()}])
def test_what_json_cannot_hold_is_refused(value) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json(value)
