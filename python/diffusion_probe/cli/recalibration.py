"""The command `recalibrate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .options import add_command


def add_recalibrate_command(commands: argparse._SubParsersAction) -> None:
    text = "make a new version of a probe, with a calibration from the service's feedback, and compare both on it"
    parser = add_command(commands, "recalibrate", _recalibrate, text, "--folder")
    parser.add_argument("feedback", type=Path, nargs="+", help="files that the service wrote (FEEDBACK_FILE), of all replicas")
    parser.add_argument("--alpha", type=float, default=0.05, help="false-drop rate at which the calibrations are compared")
    conditions = "dataset.json or probe.json that says how the images of the feedback were drawn (default: as the probe states)"
    parser.add_argument("--conditions", type=Path, help=conditions)
    parser.add_argument("--dry-run", action="store_true", help="print the figures and write nothing")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")


def _recalibrate(options: argparse.Namespace) -> None:
    from ..evaluation.recalibration.recalibrate import recalibrate

    if not 0 < options.alpha < 1:
        raise ValueError(f"--alpha {options.alpha:g}: expected a number between 0 and 1")
    text, figures = recalibrate(options.folder, options.feedback, options.alpha, options.conditions, not options.dry_run)
    print(text)
    if options.json:
        print(json.dumps(figures))
