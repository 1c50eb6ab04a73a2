"""Run by each rank: one decision about groups over all ranks, then one of which a rank knows nothing any more."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

import numpy as np
import torch.distributed as dist

from diffusion_probe.grpo import KeepRule
from diffusion_probe.grpo.ranks import decide_over_ranks

RULE = KeepRule(floor=0.2, share=0.5)
SCORES = [np.array([0.1, 0.9, 0.4]), np.array([0.2, np.nan, 0.7, 0.6, 0.5])]  # a rank may have more samples than another
GROUPS = [["a", "b", "a"], ["a", "a", "b", "b", "b"]]


def main() -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank = dist.get_rank()
    ranks = dist.new_group(timeout=timedelta(seconds=10))
    found = decide_over_ranks(RULE, SCORES[rank], GROUPS[rank], (3, 1), ranks)
    expected = RULE.decide(np.concatenate(SCORES), [*GROUPS[0], *GROUPS[1]], (3, 1))
    first = sum(len(part) for part in SCORES[:rank])
    own = range(first, first + len(SCORES[rank]))
    assert found.probabilities.tolist() == expected.probabilities[own.start : own.stop].tolist()
    assert [first + row for row in found.rows] == [row for row in expected.rows if row in own]
    assert found.failure is None
    print(f"rank {rank} as one rank", flush=True)
    if rank == 1:
        os._exit(0 if sys.argv[1] == "ends" else time.sleep(20) or 0)
    alone = decide_over_ranks(RULE, SCORES[rank], GROUPS[rank], (3, 2), ranks)
    assert list(alone.rows) == [0, 1, 2]
    assert list(alone.weights) == [1, 1, 1]
    print(f"rank {rank} keeps all: {alone.failure}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
