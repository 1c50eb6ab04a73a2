"""The Python programs of docs/integrate.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "integrate.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^## (\w+)$(?:(?!^## ).)*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_has_programs() -> None:
    assert [name for name, _ in PROGRAMS] == ["Python", "tritonclient"]


@pytest.mark.parametrize("program", [program for _, program in PROGRAMS], ids=[name for name, _ in PROGRAMS])
def test_a_program_keeps_two(program: str, service, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    exec(program.replace("http://127.0.0.1:8080", service.origin).replace("127.0.0.1:8080", service.origin.split("//")[1]), {})
    printed = capsys.readouterr().out
    assert max(printed.count("keep"), printed.count("1")) >= 2
