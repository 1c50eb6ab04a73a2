"""Seed selection: draws the seeds of a plan, drops some on the way by their scores, finishes the others and ranks them.

`select` of `diffusion_probe.capture` is another function: it takes the rows of kept samples from tensors.
"""

from .backend import Backend, Drawn, DrawnSample, Questions
from .pipeline import PipelineBackend
from .selection import SelectedSample, Selection, Stage
from .selector import Selector, select

__all__ = [
    "Backend",
    "Drawn",
    "DrawnSample",
    "PipelineBackend",
    "Questions",
    "SelectedSample",
    "Selection",
    "Selector",
    "Stage",
    "select",
]
