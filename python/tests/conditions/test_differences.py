"""Differences between conditions are found leaf by leaf."""

import pytest

from diffusion_probe.conditions.differences import MISSING, describe_differences, differences


@pytest.mark.parametrize(
    ("actual", "expected", "found"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1.0, "b": {"c": (1, 2)}}, {}),
        ({"b": {"c": 1, "d": 2}}, {"b": {"c": 1, "d": 3}}, {"b.d": (2, 3)}),
        ({"list": [1, 2, 3]}, {"list": [1, 2]}, {"list": ([1, 2, 3], [1, 2])}),
        ({"more": 1}, {"less": 2}, {"less": (MISSING, 2), "more": (1, MISSING)}),
        ({"a": {"b": 1}}, {"a": None}, {"a": ({"b": 1}, None)}),
        ({"flag": True}, {"flag": False}, {"flag": (True, False)}),
    ],
)
def test_differences(actual, expected, found) -> None:
    assert differences(actual, expected) == found


def test_a_line_names_each_difference_with_both_values() -> None:
    found = differences({"seed": 5, "text": "x" * 200}, {"seed": 0, "text": "y"})
    line = describe_differences(found)
    assert line.startswith("seed (now 5, before 0); text (now xxx")
    assert len(line) < 200
