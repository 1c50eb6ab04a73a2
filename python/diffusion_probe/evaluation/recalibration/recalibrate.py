"""The command `recalibrate`: a new version of a probe, with the same network and a calibration from feedback."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import save_file

from ...fingerprint import fingerprint
from ...probe.manifest import read_manifest, write_manifest
from ..calibrate import calibration_entry
from ..text_table import text_table
from .comparison import MIN_CAPTIONS, Judged, compare_calibrations
from .feedback import Feedback, read_feedback

COLUMNS = ("step", "calibration", "feedbacks", "prompts", "threshold", "good dropped", "95% interval", "all dropped", "error")
OLD, NEW = "old", "new"


def recalibrate(
    folder: Path, paths: Sequence[Path], alpha: float, conditions: Path | None = None, write: bool = True
) -> tuple[str, dict[str, Any]]:
    """Make the next version of the probe in `folder` from files of feedback, beside it; text and figures for JSON.

    `alpha`: the false-drop rate at which the calibrations are compared. `conditions`: a dataset.json or probe.json that says
    how the images of the feedback were drawn; None: as the probe states. Without `write` only the figures are made. A decision
    point without feedback is not calibrated in the new version. Raises FileNotFoundError and ValueError for mistakes of the user.
    """
    manifest = read_manifest(folder)
    feedback = read_feedback(paths, manifest)
    stated = manifest.get("conditions") if conditions is None else _conditions_in(conditions)
    compared = compare_calibrations(feedback, manifest, alpha)
    target = _next_version(folder, manifest["version"])
    if write:
        _write(folder, target, manifest, feedback, stated)
    figures = {
        "probe": f"{manifest['name']}@{manifest['version']}",
        "new_version": int(target.name) if write else None,
        "alpha": alpha,
        "receipts": feedback.receipts,
        "captions": feedback.captions,
        "unused": feedback.unused,
        "steps": {
            str(step): {"samples": len(feedback.by_step[step]), OLD: asdict(old), NEW: asdict(new)}
            for step, (old, new) in compared.items()
        },
    }
    return _text(manifest, feedback, compared, alpha, target if write else None), figures


def _conditions_in(path: Path) -> dict[str, Any]:
    try:
        conditions = json.loads(path.read_text())["conditions"]
    except (KeyError, TypeError, json.JSONDecodeError):
        conditions = None
    if not isinstance(conditions, dict):
        raise ValueError(f"{path} states no conditions: expected a dataset.json or a probe.json")
    return conditions


def _next_version(folder: Path, version: int) -> Path:
    """The folder of a version above all present ones."""
    present = [int(path.name) for path in folder.resolve().parent.iterdir() if path.name.isdecimal()]
    return folder.parent / str(max([version, *present]) + 1)


def _write(folder: Path, target: Path, old: dict[str, Any], feedback: Feedback, conditions: dict[str, Any] | None) -> None:
    """Write the folder under a name that the service ignores, then rename it: the service never sees a part."""
    metric, version = old["metric"], int(target.name)
    manifest = {
        **old,
        "version": version,
        "calibration": [calibration_entry(step, samples, metric["good_at"]) for step, samples in feedback.by_step.items()],
        "evaluation": {
            **old["evaluation"],
            "recalibrated": {"from_version": old["version"], "receipts": feedback.receipts, "captions": feedback.captions},
        },
    }
    if conditions is not None:
        manifest |= {"conditions": conditions, "conditions_id": fingerprint(conditions)}
    temporary = Path(tempfile.mkdtemp(prefix=".recalibrate-", dir=target.parent))
    try:
        for name in old["files"]:
            shutil.copyfile(folder / name, temporary / name)
        _address_selftest(temporary / old["selftest"]["input"], manifest)
        write_manifest(temporary, manifest)
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _address_selftest(path: Path, manifest: dict[str, Any]) -> None:
    """The selftest is a request: let it name the new version and its conditions."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata() or {}
    named = {"model": f"{manifest['name']}@{manifest['version']}", "conditions_id": manifest.get("conditions_id")}
    save_file(tensors, path, metadata={**metadata, **{name: named[name] for name in named if name in metadata}})


def _text(
    manifest: dict[str, Any],
    feedback: Feedback,
    compared: dict[int, tuple[Judged, Judged]],
    alpha: float,
    target: Path | None,
) -> str:
    probe = f"{manifest['name']}@{manifest['version']}"
    lines: list[Sequence[str]] = [COLUMNS]
    notes = [f"{count} lines were not used: {reason}." for reason, count in feedback.unused.items()]
    if feedback.ungrouped:
        notes.append(
            f"{feedback.ungrouped} receipts name no group, and count as prompts of their own: thresholds may lose more good "
            "images than they promise where several are of one prompt. Send `group` with /score."
        )
    for step, (old, new) in compared.items():
        samples = feedback.by_step[step]
        for name, judged in ((OLD, old), (NEW, new)):
            counts = (str(len(samples)), str(len(set(samples.caption.tolist())))) if name == OLD else ("", "")
            lines.append((str(step) if name == OLD else "", name, *counts, *_cells(judged)))
        if new.threshold is None:
            notes.append(
                f"Step {step}: too few good images for alpha {alpha:g}. The new calibration drops nothing there (uncalibrated), "
                "and promises nothing."
            )
        if new.drop_rate is None:
            notes.append(f"Step {step}: with fewer than {MIN_CAPTIONS} prompts the new calibration cannot be judged.")
    without = [point["step"] for point in manifest["decision_points"] if point["step"] not in compared]
    if without:
        steps = ", ".join(map(str, without))
        notes.append(f"No feedback at step {steps}: the new version is not calibrated there, and drops nothing.")
    if target is None:
        notes.append("Nothing was written.")
    else:
        notes.append(
            f"Wrote {target}: the same network, plans and trajectories, with the new calibration. A service that watches the "
            "folder takes the newest version at once, unless DEFAULT_MODEL or the request names another."
        )
    head = (
        f"{feedback.receipts} receipts of {feedback.captions} prompts on {probe}, at alpha {alpha:g}. The new calibration is "
        "judged on prompts that it was not made from (5 folds); error is that of p_good."
    )
    return "\n\n".join([head, text_table(lines), "\n".join(notes)])


def _cells(judged: Judged) -> tuple[str, ...]:
    def percent(share: float | None) -> str:
        return "-" if share is None else f"{100 * share:.1f}%"

    interval = "-" if judged.interval is None else " to ".join(map(percent, judged.interval))
    threshold = "none" if judged.threshold is None else f"{judged.threshold:.4g}"
    error = "-" if judged.calibration_error is None else f"{judged.calibration_error:.3f}"
    return threshold, percent(judged.false_drop), interval, percent(judged.drop_rate), error
