"""Each folder of the package lists what it may import; flat modules count as folders of their own."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import diffusion_probe

PACKAGE = Path(diffusion_probe.__file__).parent
MOST_FLAT_MODULES = 6

# Imports inside functions count too. `cli` may import everything.
MAY_IMPORT: dict[str, set[str]] = {
    "backbones": {"evaluation", "planning", "probe", "selection"},
    "capture": {"conditions", "families", "probe"},
    "check": {"capture", "families", "probe", "progress"},
    "client": {"fingerprint"},
    "collection": {"capture", "data", "devices", "evaluation", "families", "metrics", "pipelines", "probe", "progress"},
    "conditions": {"fingerprint"},
    "data": {"conditions", "fingerprint", "probe", "progress"},
    "devices": set(),
    "evaluation": {"conditions", "data", "fingerprint", "probe", "progress"},
    "families": set(),
    "fingerprint": set(),
    "grpo": {"capture", "client", "families", "guard", "probe"},
    "guard": {"capture", "client", "families", "planning", "probe"},
    "hub": {"probe"},
    "local": {"client", "probe"},
    "metrics": set(),
    "overhead": {"capture", "client", "families", "progress", "tiny"},
    "pipelines": {"metrics"},
    "planning": {"data", "evaluation", "probe"},
    "probe": {"conditions", "fingerprint"},
    "progress": set(),
    "prompting": {
        *("__init__", "client", "data", "evaluation", "guard", "metrics", "planning", "probe", "progress", "selection"),
    },
    "reference": {
        *("capture", "client", "conditions", "data", "devices", "evaluation", "fingerprint", "grpo", "guard", "local"),
        *("pipelines", "probe", "progress", "selection", "training"),
    },
    "selection": {
        *("__init__", "client", "conditions", "evaluation", "families", "guard", "local"),
        *("metrics", "pipelines", "planning", "probe", "progress"),
    },
    "selftest": {"client", "data", "guard", "tiny", "training"},
    "tiny": set(),
    "training": {"__init__", "conditions", "data", "devices", "evaluation", "fingerprint", "probe", "progress"},
    "__init__": set(),
    "__main__": {"cli"},
}
FREE = "cli"


def part_of(path: Path) -> str:
    """The folder of a file, or the name of a flat module."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_part(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def imported_modules(path: Path) -> set[str]:
    """The full names of everything that a file imports, relative imports resolved."""
    package = ["diffusion_probe", *path.relative_to(PACKAGE).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def imported_parts(path: Path) -> set[str]:
    """The other parts of the package that a file imports."""
    names = [name.split(".") for name in imported_modules(path)]
    inside = [name[1] for name in names if name[0] == "diffusion_probe" and len(name) > 1]
    return {name if is_part(name) else "__init__" for name in inside} - {part_of(path)}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    part = part_of(path)
    assert part == FREE or imported_parts(path) <= MAY_IMPORT[part]


def test_every_arrow_is_used() -> None:
    used = {part: set[str]() for part in MAY_IMPORT}
    for path in FILES:
        if part_of(path) != FREE:
            used[part_of(path)] |= imported_parts(path)
    assert used == MAY_IMPORT


def test_folders_form_no_cycle() -> None:
    TopologicalSorter({**MAY_IMPORT, FREE: MAY_IMPORT.keys() - {"__main__"}}).prepare()


def test_few_modules_are_flat() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_FLAT_MODULES
