"""Where a probe is on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

SCHEME = "hf://"
FORM = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class HubAddress:
    """A repository of the hub, `organisation/name`, and a branch, tag or commit of it."""

    repository: str
    revision: str | None = None  # None: the main branch

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `hf://organisation/name@revision`; the revision may be absent. Raises ValueError for anything else."""
        found = FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"the address is {text!r}: expected {SCHEME}organisation/name or {SCHEME}organisation/name@revision")
        return cls(found["repository"], found["revision"])

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")
