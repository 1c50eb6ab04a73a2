"""Groups whose samples two ranks draw, and a rank that ends or hangs before a decision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "deciding_ranks.py"


@pytest.mark.parametrize("how", ["ends", "hangs"])
def test_ranks_decide_as_one_and_one_without_the_other_keeps_everything(how: str) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT), how]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("as one rank") == 2
    assert "rank 0 keeps all: the ranks could not be asked" in done.stdout
