"""Decides about groups whose samples several ranks of torch.distributed draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.distributed as dist

from .decision import KeepRule, KeptRows


def decide_over_ranks(
    rule: KeepRule, scores: np.ndarray, group: Sequence[str], seed: int | Sequence[int], ranks: dist.ProcessGroup | None = None
) -> KeptRows:
    """As `KeepRule.decide`, for this rank's rows: the order within a group counts over all ranks.

    `scores` [batch]: of this rank, as many as it has; NaN without an answer. `seed`: the same on every rank. Every rank must call
    it. If one does not, or has ended, the others keep all of their rows once the timeout of `ranks` is over: `failure` says so.
    """
    scores = np.asarray(scores, np.float64)
    if not dist.is_initialized():
        return rule.decide(scores, group, seed)
    parts: list[tuple[np.ndarray, list[str]]] = [(scores, [])] * dist.get_world_size(ranks)
    try:
        dist.all_gather_object(parts, (scores, list(group)), ranks)
    except Exception as error:
        return KeptRows.all(len(scores), f"the ranks could not be asked: {error!r}")
    everyone = rule.decide(np.concatenate([part for part, _ in parts]), [name for _, names in parts for name in names], seed)
    start = sum(len(part) for part, _ in parts[: dist.get_rank(ranks)])
    own = slice(start, start + len(scores))
    rows = everyone.rows[(everyone.rows >= own.start) & (everyone.rows < own.stop)] - start
    return KeptRows(rows, everyone.probabilities[own], scores)
