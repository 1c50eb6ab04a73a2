"""The commands `calibrate`, `evaluate` and `examples`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_data, add_folder, step_list


def add_evaluation_commands(commands: argparse._SubParsersAction) -> None:
    """Add all three."""
    one = add_command(commands, "calibrate", _calibrate, "calibrate the exported probe on held-out prompts")
    add_data(one)
    add_folder(one)

    one = add_command(commands, "evaluate", _evaluate, "judge the exported probe on test prompts, beside all baselines")
    add_data(one)
    add_folder(one)
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="default: %(default)s")
    one.add_argument("--repeats", type=int, default=300, help="bootstrap repetitions (default: %(default)s)")
    one.add_argument("--at", type=step_list, help="steps to report, such as 1,5 (default: 1,5,10,15 where collected)")

    one = add_command(commands, "examples", _examples, "write real requests for people to try")
    add_data(one)
    add_folder(one)
    one.add_argument("--out", type=Path, default=Path("examples"), help="folder (default: %(default)s)")
    one.add_argument("--document", type=Path, default=Path("openapi/examples.json"), help="JSON examples (default: %(default)s)")
    one.add_argument("--step", type=int, default=5, help="default: %(default)s")
    one.add_argument("--split", choices=["calibration", "test"], default="test", help="default: %(default)s")


def _calibrate(options: argparse.Namespace) -> None:
    from ..evaluation.calibrate import calibrate as run

    run(options.data, options.folder)


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluation.evaluate import evaluate as run

    run(options.data, options.folder, options.split, options.repeats, options.at)
    print((options.folder / "report.md").read_text())


def _examples(options: argparse.Namespace) -> None:
    from ..evaluation.examples import write_examples

    write_examples(options.data, options.folder, options.out, options.document, options.step, options.split)
