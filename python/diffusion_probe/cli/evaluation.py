"""The commands `calibrate`, `evaluate`, `compare` and `examples`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .options import add_command, step_list


def add_evaluation_commands(commands: argparse._SubParsersAction) -> None:
    add_command(commands, "calibrate", _calibrate, "calibrate an exported probe on the calibration split", "--data", "--folder")

    one = add_command(commands, "evaluate", _evaluate, "evaluate an exported probe beside all baselines", "--data", "--folder")
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="split to evaluate on")
    one.add_argument("--repeats", type=int, default=300, help="bootstrap resamples behind each interval")
    one.add_argument("--at", type=step_list, help="steps to report, such as 1,5 (default: 1,5,10,15 where collected)")

    text = "compare two probes on the samples that both were evaluated on: differences with intervals over prompts"
    one = add_command(commands, "compare", _compare, text, "--folder")
    one.add_argument("--against", type=Path, required=True, help="folder of the other probe")
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="split of the scores")
    one.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples behind each interval")
    one.add_argument("--json", action="store_true", help="print the rows as JSON too, as the last line")

    one = add_command(commands, "examples", _examples, "write example requests from collected samples", "--data", "--folder")
    one.add_argument("--out", type=Path, default=Path("examples"), help="folder of the safetensors requests")
    one.add_argument("--document", type=Path, default=Path("openapi/examples.json"), help="file of the JSON requests")
    one.add_argument("--step", type=int, default=5, help="decision point of the requests")
    one.add_argument("--split", choices=["calibration", "test"], default="test", help="split that the samples are from")


def _calibrate(options: argparse.Namespace) -> None:
    from ..evaluation.calibrate import calibrate as run

    run(options.data, options.folder)


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluation.evaluate import evaluate as run

    run(options.data, options.folder, options.split, options.repeats, options.at)
    print((options.folder / "report.md").read_text())


def _compare(options: argparse.Namespace) -> None:
    from ..evaluation.compare import compare as run
    from ..evaluation.compare import comparison_table

    rows = run(options.folder, options.against, options.split, options.repeats)
    print(comparison_table(rows))
    if options.json:
        print(json.dumps(rows))


def _examples(options: argparse.Namespace) -> None:
    from ..evaluation.examples import write_examples

    write_examples(options.data, options.folder, options.out, options.document, options.step, options.split)
