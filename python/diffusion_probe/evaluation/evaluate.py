"""The command `evaluate`: an exported probe on prompts that it was not trained on, beside every baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..probe.manifest import read_manifest, to_json, write_manifest
from ..probe.onnx_probe import OnnxProbe
from .plots import write_plots
from .report import CANDIDATES, build_report, headline
from .report_page import markdown
from .score_file import write_scores
from .scores import score_split

REPEATS = 300


def evaluate(
    data: Path, folder: Path, split: str = "test", repeats: int = REPEATS, steps: Sequence[int] | None = None
) -> dict[str, Any]:
    """Score a split with the probe in `folder`, write the evaluation into that folder, and return the report.

    Writes report.json, report.md, plots and `{split}-scores.json`, and the headline into probe.json. `steps`: see `score_split`.
    A prompt with a sample that the metric failed on does not count, since a choice among its samples cannot be judged.
    """
    probe = OnnxProbe(folder)
    scored = score_split(probe, data, split, steps, min_seeds=CANDIDATES[0])
    report = build_report(scored, probe.manifest, repeats)
    (folder / "report.json").write_text(to_json(report))
    (folder / "report.md").write_text(markdown(probe.manifest, report))
    write_scores(folder / f"{split}-scores.json", scored.prompts, scored.good_at, scored.quality, scored.probe_scores)
    write_plots(folder, scored, report)
    manifest = read_manifest(folder)
    manifest["evaluation"] = headline(report)
    write_manifest(folder, manifest)
    return report
