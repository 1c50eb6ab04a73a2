"""Finds the evaluated probes of the backbones in a model repository, and joins their figures.

The probe of a backbone has its name: `sdxl`, `flux` or `qwen`. Probes whose name begins with it and a hyphen, such as `flux-100`,
are points of the curve over training prompts if metric and conditions are the same, otherwise variants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..probe.manifest import read_manifest
from ..selection.comparison import study_selection
from .figures import BASELINES, BUDGET, CANDIDATES, DIGITS, gap_of_best_of, plan_figures, read_report, step_figures
from .paper import NAMES

RECORD = "docs/adr/0055-figures-of-three-backbones.md"
PLAN, BEST_OF = "plan", f"best-of-{BUDGET}"
CURVE_FIGURES = ("srcc", "gap_8")


@dataclass(frozen=True)
class Study:
    """The figures by backbone, as docs/backbones.json holds them, and what is missing for the whole page."""

    backbones: dict[str, dict[str, Any]]
    own: str | None  # name@version of the probe of our own backbone
    missing: list[str]


def study_backbones(models: Path, own: Path, selections: Path, each: Callable[[Sequence[str]], Iterable[str]] = iter) -> Study:
    """The study of all backbones that have a probe in `models`, a folder of `<name>/<version>`. `each` walks through the names.

    `own`: folder of the probe of our own backbone. `selections`: per backbone the folders `plan` and `best-of-3` of `select`,
    whose wall clock is compared. Raises FileNotFoundError where no backbone has a probe, and for a probe without calibration or
    report.
    """
    found = {name: folder for name in NAMES if (folder := newest(models / name)) is not None}
    if not found:
        raise FileNotFoundError(f"no probe of {', '.join(NAMES)} in {models}: {RECORD} has the commands that make them")
    missing = [f"{NAMES[name]}: there is no probe in {models / name}" for name in NAMES if name not in found]
    known = (own / "report.json").exists()
    if not known:
        missing.append(f"our own backbone: {own / 'report.json'} does not exist")
    own_report = read_report(own) if known else None
    backbones = {}
    for name in each(list(found)):
        figures, without = backbone_figures(name, found[name], own_report, models, selections)
        backbones[name] = figures
        missing += [f"{NAMES[name]}: {what}" for what in without]
    variants = [variant for figures in backbones.values() for variant in figures["variants"].values()]
    for what in ("metric", "resolution"):
        if not any(what in variant["differs"] for variant in variants):
            missing.append(f"a second {what} on one of the backbones: a probe named NAME-WHATEVER in {models}")
    own_name = None
    if known:
        manifest = read_manifest(own)
        own_name = f"{manifest['name']}@{manifest['version']}"
    return Study(backbones, own_name, missing)


def backbone_figures(
    name: str, folder: Path, own: Mapping[str, Any] | None, models: Path, selections: Path
) -> tuple[dict[str, Any], list[str]]:
    """The figures of one backbone, and what is missing of them."""
    manifest, report = read_manifest(folder), read_report(folder)
    figures = {**probe_figures(folder, manifest, report, own), "curve": {}, "variants": {}}
    without = [method for method in report["not_compared"] if method in BASELINES.values()]
    missing = [f"the baseline {method} (collect with --baselines and --subjects)" for method in without]
    if report["seeds"] < CANDIDATES:
        what = f"the gap of {CANDIDATES} images, because each test prompt has {report['seeds']}"
        missing.append(f"{what} (collect with --test-seeds {CANDIDATES})")
    timed = wall_clock(folder, manifest, selections / name)
    if timed is None:
        missing.append(f"the wall clock of the plan (select into {selections / name / PLAN} and {selections / name / BEST_OF})")
    else:
        figures["plan"] |= {**timed, "gain_by_seconds": round(figures["plan"]["gap"] - timed["best_of_same_seconds"], DIGITS)}
    others = sorted(path for path in models.glob(f"{name}-*") if newest(path) is not None)
    for other in [folder, *(newest(path) for path in others)]:
        own_manifest, own_report = read_manifest(other), read_report(other)
        differs = differences(manifest, own_manifest)
        if differs:
            variant = probe_figures(other, own_manifest, own_report, None)
            figures["variants"][own_manifest["name"]] = {**variant, "differs": differs}
        elif own_report.get("training_prompts") is not None:
            steps = step_figures(own_report, None)
            shown = {step: _of(steps[step], CURVE_FIGURES) for step in steps}
            figures["curve"][str(own_report["training_prompts"])] = shown
    figures["curve"] = dict(sorted(figures["curve"].items(), key=lambda item: int(item[0])))
    if len(figures["curve"]) < 2:
        missing.append("the curve over training prompts (train with --prompts, and export as another name)")
    return figures, missing


def probe_figures(
    folder: Path, manifest: Mapping[str, Any], report: Mapping[str, Any], own: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the page says of every probe."""
    return {
        "probe": f"{manifest['name']}@{manifest['version']}",
        "backbone": manifest["backbone"],
        "metric": manifest["metric"]["name"],
        "resolution": resolution_of(manifest),
        "layers": len(manifest["capture"]["layers"]),
        "training_prompts": report.get("training_prompts"),
        "test_prompts": report["prompts"],
        "seeds": report["seeds"],
        "quality": report["quality"],
        "steps": step_figures(report, own),
        "plan": plan_figures(folder, manifest),
    }


def wall_clock(folder: Path, manifest: Mapping[str, Any], selections: Path) -> dict[str, Any] | None:
    """Seconds a prompt of both runs of `select`, and the gain over best-of-k for the plan's seconds; None without both runs.

    The time is that of the runs, the shares of the gap are those of the test prompts.
    """
    folders = [selections / PLAN, selections / BEST_OF]
    if not all(path.exists() for path in folders):
        return None
    planned, whole = study_selection(folders)[1]
    plain = gap_of_best_of(folder, manifest, BUDGET * planned["seconds_of_the_last"])
    return {
        "seconds": planned["seconds"],
        "seconds_best_of_3": whole["seconds"],
        "seconds_ratio": planned["seconds_of_the_last"],
        "timed_prompts": planned["prompts"],
        "failed_open": planned["failed_open"],
        "best_of_same_seconds": plain,
    }


def differences(manifest: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what a variant differs from the probe of its backbone; empty for the same metric and conditions."""
    found = ["metric"] if manifest["metric"]["name"] != other["metric"]["name"] else []
    if resolution_of(manifest) != resolution_of(other):
        return [*found, "resolution"]
    return found if manifest["conditions_id"] == other["conditions_id"] else [*found, "conditions"]


def resolution_of(manifest: Mapping[str, Any]) -> list[int]:
    """Height and width of the images."""
    call = manifest["conditions"]["call"]
    return [call["height"], call["width"]]


def newest(folder: Path) -> Path | None:
    """The folder of the highest version of a probe; None where there is none."""
    versions = [path.parent for path in folder.glob("*/probe.json") if path.parent.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _of(figures: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key.removesuffix("_low").removesuffix("_high") in names}
