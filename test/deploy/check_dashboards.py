"""Checks dashboards against Grafana's schema, which its Foundation SDK holds: check_dashboards.py <dashboard.json>..."""

import enum
import json
import sys
import types
import typing
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

Hint = typing.Any
# Grafana has long read this member of an annotation; its schema has it since version 13, and the SDK for Python ends at 11.6.
LATER_MEMBERS = {"titleFormat"}


def wrong_types(value: object, hint: Hint, path: str) -> list[str]:
    """Lists the places whose value is not of the type that the schema gives. The SDK reads JSON without checking types."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (typing.Any, object):
        return members(value, path) if is_model(type(value)) else []
    if is_model(hint) and isinstance(value, dict):
        # The SDK leaves some members as they came.
        read = hint.from_json(value)
        return members(read, path) + unknown_members(value, as_json(read), path)
    if origin in (typing.Union, types.UnionType):
        # The errors that matter are those inside the alternative that the SDK chose.
        chosen = [one for one in arguments if type(value) in (one, typing.get_origin(one))]
        return min((wrong_types(value, one, path) for one in chosen or arguments), key=len)
    if origin is typing.Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if origin is list and isinstance(value, list):
        return [one for index, item in enumerate(value) for one in wrong_types(item, arguments[0], f"{path}[{index}]")]
    if origin is dict and isinstance(value, dict):
        return [one for key, item in value.items() for one in wrong_types(item, arguments[1], f"{path}.{key}")]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [] if value in [one.value for one in hint] else [f"{path}: {value!r} is none of {[one.value for one in hint]}"]
    if hint is float and type(value) is int:
        return []
    expected = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        return [f"{path}: {value!r} is not of the type {getattr(expected, '__name__', expected)}"]
    return members(value, path) if is_model(type(value)) else []


def is_model(one: Hint) -> bool:
    return hasattr(one, "from_json")


def as_json(read: object) -> typing.Any:
    return json.loads(JSONEncoder().encode(read))


def members(value: object, path: str) -> list[str]:
    hints = typing.get_type_hints(type(value), vars(sys.modules[type(value).__module__]))
    return [one for name, hint in hints.items() for one in wrong_types(getattr(value, name), hint, f"{path}.{name}")]


def unknown_members(given: object, read: object, path: str) -> list[str]:
    """Lists what the SDK did not read, because the schema has no such member."""
    if isinstance(given, dict) and isinstance(read, dict):
        missing = [f"{path}.{name}: the schema has no such member" for name in given.keys() - read.keys() - LATER_MEMBERS]
        both = given.keys() & read.keys()
        return missing + [one for name in both for one in unknown_members(given[name], read[name], f"{path}.{name}")]
    if isinstance(given, list) and isinstance(read, list):
        pairs = enumerate(zip(given, read, strict=True))
        return [one for index, pair in pairs for one in unknown_members(*pair, f"{path}[{index}]")]
    return []


register_default_plugins()
problems = []
for file in sys.argv[1:]:
    given = json.loads(Path(file).read_text())
    dashboard = Dashboard.from_json(given)
    problems += members(dashboard, file) + unknown_members(given, as_json(dashboard), file)
sys.exit("\n".join(problems) or 0)
