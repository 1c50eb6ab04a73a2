"""The functions as the page shows them, and the example."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


def test_the_functions_of_the_page_work_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "docs" / "workflows.md").read_text().split("## Flow-GRPO")[1]
    block = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    names: dict = {}
    exec(block, names)
    kept = names["kept"]
    assert 0 < len(kept) < 16
    assert float(capsys.readouterr().out) <= len(kept)
    assert set(np.flatnonzero(names["advantage"])) <= set(kept)
    assert len(names["rows"]) % 4 == 0
    assert names["own"].mean() == pytest.approx(names["advantage"].mean())


def test_the_example_draws_a_group(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["grpo_group.py", "--group", "4"])
    runpy.run_path(str(ROOT / "examples" / "grpo_group.py"), run_name="__main__")
    printed = capsys.readouterr().out
    kept = int(re.search(r"of (\d) kept of 4", printed)[1])
    assert printed.count("dropped") == 4 - kept
    assert f"{4 * 5 + kept * 20} denoiser calls in place of 100" in printed
