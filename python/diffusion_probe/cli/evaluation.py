"""The commands `calibrate`, `evaluate`, `compare`, `examples` and `study false-drop`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .options import PROBE_FOLDER, add_command, step_list


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

    study = commands.add_parser("study", help="study a probe's decisions", description="Study a probe's decisions.")
    studies = study.add_subparsers(required=True, metavar="study")
    text = "compare the false-drop rate that the policy max_false_drop allows with the one that it realises on test captions"
    one = add_command(studies, "false-drop", _study_false_drop, text)
    one.add_argument("--probe", type=Path, default=PROBE_FOLDER, help="folder with probe.json and test-scores.json")
    one.add_argument("--steps", type=step_list, default=(5,), help="decision points, such as 5,10 (default: 5)")
    one.add_argument("--alphas", default="0.01,0.02,0.05,0.1,0.2", help="allowed false-drop rates, above 0 and below 1")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")


def _calibrate(options: argparse.Namespace) -> None:
    from ..evaluation.calibrate import calibrate as run

    run(options.data, options.folder)


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluation.evaluate import evaluate as run

    run(options.data, options.folder, options.split, options.repeats, options.at)
    print((options.folder / "report.md").read_text())


def _compare(options: argparse.Namespace) -> None:
    from ..evaluation.compare import compare as run
    from ..evaluation.compare import text_table

    rows = run(options.folder, options.against, options.split, options.repeats)
    print(text_table(rows))
    if options.json:
        print(json.dumps(rows))


def _examples(options: argparse.Namespace) -> None:
    from ..evaluation.examples import write_examples

    write_examples(options.data, options.folder, options.out, options.document, options.step, options.split)


def _study_false_drop(options: argparse.Namespace) -> None:
    from ..evaluation.studies.false_drop import parse_alphas, study_false_drop

    text, figures = study_false_drop(options.probe, options.steps, parse_alphas(options.alphas))
    print(text)
    if options.json:
        print(json.dumps(figures))
