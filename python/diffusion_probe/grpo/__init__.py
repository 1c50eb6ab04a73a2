"""Group-relative policy optimization (GRPO) on a part of each group that a probe chooses, with an unbiased gradient.

The adapters for flow_grpo and verl-omni are `grpo.flow_grpo` and `grpo.verl_omni`; nothing here imports them.
"""

from .decision import KeepRule, KeptRows
from .estimates import advantages, effective_sample_size, group_means, group_variances
from .keeping import allocate, draw, weights
from .padding import trained_rows

__all__ = [
    "KeepRule",
    "KeptRows",
    "advantages",
    "allocate",
    "draw",
    "effective_sample_size",
    "group_means",
    "group_variances",
    "trained_rows",
    "weights",
]
