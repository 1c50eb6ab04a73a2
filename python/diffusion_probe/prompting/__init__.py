"""Prompt optimization: rewrites a prompt where the first steps of its own image promise little.

A look at the prompt as given decides by its predicted quality; a rewriter proposes other wordings of the same meaning; the probe
finds the best of their first steps; a plan finishes it. Images are judged against the prompt as given.
"""

from .command_rewriter import CommandRewriter
from .course import Wish
from .function_rewriter import FunctionRewriter
from .openai_rewriter import OpenAIRewriter
from .optimization import Optimization
from .optimizer import PromptOptimizer
from .rewriter import Rewriter, RewriterError
from .threshold import ALWAYS, NEVER, Threshold, calibrated_threshold

__all__ = [
    "ALWAYS",
    "NEVER",
    "CommandRewriter",
    "FunctionRewriter",
    "OpenAIRewriter",
    "Optimization",
    "PromptOptimizer",
    "Rewriter",
    "RewriterError",
    "Threshold",
    "Wish",
    "calibrated_threshold",
]
