"""Groups and attention that are spread over ranks give what one rank gives. The ranks are processes that talk through gloo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPREAD = Path(__file__).parent / "spread_over_ranks.py"


def run_on_ranks(count: int, script: Path, *arguments: str) -> str:
    """What the ranks print."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *arguments], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("ranks", [2, 4])
def test_attention_and_decisions_of_several_ranks_are_those_of_one(ranks: int) -> None:
    assert run_on_ranks(ranks, SPREAD).count("as one rank") == ranks


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_example_finishes_the_same_candidates_on_any_number_of_ranks(service, ranks: int) -> None:
    output = run_on_ranks(ranks, ROOT / "examples" / "two_ranks.py", "--service", service.origin, "--size", "4")
    lists = re.findall(r"finished the candidates \[([\d, ]*)\]", output)
    finished = [int(seed) for seeds in lists for seed in re.findall(r"\d+", seeds)]
    assert output.count("finished the candidates") == ranks
    assert sorted(finished) == [1, 2]
