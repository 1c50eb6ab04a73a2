"""The table of supported pipelines in docs/capture-and-guard.md, made from the cases of test_families.py.

In the folder `python`: `python -m tests.families.supported_pipelines` writes the table again.
"""

from __future__ import annotations

from pathlib import Path

from diffusion_probe.families import ALL, CALLS, FIRST, LAST, NONE, ROWS_AFTER, ROWS_BEFORE, Family
from diffusion_probe.families.table import TABLE

from .family_case import Case
from .family_cross import CROSS
from .family_edit import EDIT
from .family_joint import JOINT
from .family_variants import VARIANTS

PAGE = Path(__file__).parents[3] / "docs" / "capture-and-guard.md"
BEGIN, END = "<!-- Written by tests/capture/supported_pipelines.py. -->\n", "<!-- End of what it writes. -->\n"

CASES: list[Case] = [*VARIANTS, *CROSS, *JOINT, *EDIT]

TEXT = {ALL: "cross-attention: all keys", FIRST: "joint: before the image", LAST: "joint: after the image"}
GUIDANCE = {
    ROWS_BEFORE: "rows before those of the prompt",
    ROWS_AFTER: "rows after those of the prompt",
    CALLS: "a second call",
    NONE: "none; the scale is an input",
}
# Pipelines of these backbones that are refused, and why.
REFUSED = {
    "ChromaInpaintPipeline": "it fails in diffusers 0.42, before its first step",
    "Flux2KleinKVPipeline": "it has another order of keys; use `Flux2KleinPipeline`",
    "QwenImageLayeredPipeline": "it draws several layers of an image at once",
    "SanaSprintPipeline": "its two steps leave nothing to save",
    "StableDiffusionXLControlNetUnionPipeline": "no test yet; with one kind of picture use `StableDiffusionXLControlNetPipeline`",
    "ZImageControlNetPipeline": "no test yet",
    "ZImageOmniPipeline": "it has another order of keys",
}


def table() -> str:
    """The table and the list."""
    head = "| backbone | pipelines | text among the keys | guidance without the prompt |\n|---|---|---|---|\n"
    reasons = "".join(f"- `{name}`: {reason}.\n" for name, reason in REFUSED.items())
    return head + "".join(map(_row, TABLE)) + "\nRefused, although their backbone is in the table:\n\n" + reasons


def _row(family: Family) -> str:
    tested = dict.fromkeys(case.pipeline for case in CASES if case.pipeline in family.pipelines)
    pipelines = ", ".join(f"`{name.removesuffix('Pipeline')}`" for name in tested)
    return f"| `{family.name}` | {pipelines} | {TEXT[family.text]} | {GUIDANCE[family.guidance]} |\n"


def page_with(content: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with this table between its marks."""
    before, rest = PAGE.read_text().split(begin)
    return before + begin + "\n" + content + "\n" + end + rest.split(end)[1]


if __name__ == "__main__":
    PAGE.write_text(page_with(table()))
