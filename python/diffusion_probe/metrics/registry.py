"""Which metrics there are, by name, and a function of the user's own, by `module:function`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from . import scorers
from .scorers import Scorer


@dataclass(frozen=True)
class Entry:
    """How a metric is loaded, and the pip packages that it lives in. Packages and weights are loaded when it is asked for."""

    load: Callable[[str], Scorer]  # takes a device
    packages: str


METRICS = {
    "imagereward": Entry(scorers.imagereward, "image-reward"),
    "hpsv2": Entry(scorers.hpsv2, "hpsv2"),
    "clip": Entry(scorers.clip, "transformers"),
    "aesthetic": Entry(scorers.aesthetic, "simple-aesthetics-predictor transformers"),
    "pickscore": Entry(scorers.pickscore, "transformers"),
}


def load_metric(name: str, device: str) -> Scorer:
    """The scorer behind a name. Raises ValueError, saying what to do, for one that is not known or not installed."""
    if ":" in name:
        return _own_function(name)
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}: expected one of {', '.join(METRICS)}, or module:function")
    entry = METRICS[name]
    try:
        return entry.load(device)
    except ImportError as error:
        raise ValueError(f"the metric {name} lacks packages ({error}): pip install {entry.packages}") from error


def _own_function(name: str) -> Scorer:
    module_name, _, function_name = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # an installed command does not look there, and that is where the user's module lies
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the metric {name} cannot be loaded: there is no module {error.name}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the metric {name} cannot be loaded: {module_name} has no function {function_name!r}")
    return function
