"""Metrics by name: the built-in ones, and a function of the user by `module:function`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from . import builtin
from .builtin import MetricFunction


@dataclass(frozen=True)
class BuiltinMetric:
    """How a metric is loaded, and the pip packages that it needs."""

    load: Callable[[str], MetricFunction]  # takes a device
    packages: str


METRICS = {
    "imagereward": BuiltinMetric(builtin.imagereward, "image-reward"),
    "hpsv2": BuiltinMetric(builtin.hpsv2, "hpsv2"),
    "clip": BuiltinMetric(builtin.clip, "transformers"),
    "aesthetic": BuiltinMetric(builtin.aesthetic, "simple-aesthetics-predictor transformers"),
    "pickscore": BuiltinMetric(builtin.pickscore, "transformers"),
}


def load_metric(name: str, device: str) -> MetricFunction:
    """Load a metric onto a device, such as "cuda". Raises ValueError for one that is unknown or whose packages are missing."""
    if ":" in name:
        return _user_function(name)
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}: expected one of {', '.join(METRICS)}, or module:function")
    entry = METRICS[name]
    try:
        return entry.load(device)
    except ImportError as error:
        raise ValueError(f"the metric {name} needs packages ({error}): pip install {entry.packages}") from error


def _user_function(name: str) -> MetricFunction:
    module_name, _, function_name = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # an installed command does not search the working directory for the user's module
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the metric {name} cannot be loaded: there is no module {error.name}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the metric {name} cannot be loaded: {module_name} has no function {function_name!r}")
    return function
