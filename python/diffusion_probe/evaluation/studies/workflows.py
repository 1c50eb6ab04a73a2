"""docs/workflows.json and the tables of docs/workflows.md: each study writes its own member and its own table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...probe.manifest import to_json

FIGURES, PAGE = "workflows.json", "workflows.md"


def write_workflow(docs: Path, member: str, figures: Mapping[str, Any], text: str) -> None:
    """Replace a member of `docs`/workflows.json, and what stands between its two marks in `docs`/workflows.md.

    `member`: such as `prompt`, or `pipeline.prompt` for one of an object.

    Raises FileNotFoundError without the page, and ValueError for a page without the marks.
    """
    page, path = docs / PAGE, docs / FIGURES
    begin, end = f"<!-- {member} -->\n", f"<!-- /{member} -->"
    content = page.read_text(encoding="utf-8")
    before, found, rest = content.partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise ValueError(f"{page} has no lines {begin.strip()} and {end} to write between")
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    *owners, name = member.split(".")
    owner = known
    for one in owners:
        owner = owner.setdefault(one, {})
    owner[name] = dict(figures)
    path.write_text(to_json(known), encoding="utf-8")
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
