"""The commands `study false-drop`, `plans`, `selection`, `transfer`, `backbones`, `attention` and `prompt`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .options import (
    A_PIPELINE,
    METRIC_HELP,
    PROBE_FOLDER,
    RUNS,
    add_command,
    add_pipeline_options,
    grid_side,
    positive_count,
    step_list,
)
from .prompt_study import add_page_options, add_prompt_study

MODELS = Path("models")
BACKBONES = RUNS / "backbones"


def add_study_commands(commands: argparse._SubParsersAction) -> None:
    study = commands.add_parser("study", help="study a probe's decisions", description="Study a probe's decisions.")
    studies = study.add_subparsers(required=True, metavar="study")
    text = "compare the false-drop rate that the policy max_false_drop allows with the one that it realises on test captions"
    one = add_command(studies, "false-drop", _false_drop, text)
    one.add_argument(
        "--probe", type=Path, help=f"folder of the probe (default: {PROBE_FOLDER}; with --resample, all with trajectories)"
    )
    one.add_argument("--steps", type=step_list, help="decision points, such as 5,10 (default: 5; with --resample, all)")
    one.add_argument("--alphas", help="allowed false-drop rates (default: 0.01,0.02,0.05,0.1,0.2; with --resample, up to 0.1)")
    one.add_argument("--confidence", default="0.95", help="confidence of the thresholds, or none")
    one.add_argument("--resample", type=int, metavar="N", help="study N calibrations that might have been drawn instead")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")

    text = "compare plans with plain best-of-k for the same denoiser calls, chosen on calibration and judged on test captions"
    one = add_command(studies, "plans", _plans, text)
    one.add_argument(
        "--probe",
        type=Path,
        action="append",
        help="folder of a probe; may be given several times (default: all with trajectories)",
    )
    one.add_argument("--seeds", type=int, help="start at most so many samples (default: as many as were calibrated)")
    one.add_argument("--matrices", type=Path, help="folder of reward matrices (.npz) to study instead, see planning/matrices.py")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")

    text = "compare quality, denoiser calls and wall clock of several runs of select on the same prompts"
    one = add_command(studies, "selection", _selection, text)
    one.add_argument("folders", type=Path, nargs="+", help="the --out of each; times are also given as a multiple of the last's")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")

    text = "show what a probe loses under other conditions than its own, and what a new calibration brings back"
    one = add_command(studies, "transfer", _transfer, text, "--folder")
    one.add_argument("data", type=Path, nargs="+", help="data sets of other conditions; the first is what losses are against")
    one.add_argument(
        "--step", type=positive_count, default=5, help="decision point; each data set's nearest timestep stands for it"
    )
    one.add_argument("--alpha", type=float, default=0.05, help="allowed false-drop rate")
    one.add_argument("--feedbacks", type=step_list, default=(50, 200), help="samples of a new calibration (default: 50,200)")
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="split to judge on")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")

    text = "join the figures of the probes of the small SDXL, FLUX and Qwen-Image, beside baselines and the paper"
    one = add_command(studies, "backbones", _backbones, text)
    probes = "folder of the evaluated probes: sdxl/1, flux/1, qwen/1, and those of variants, such as flux-100/1"
    one.add_argument("--models", type=Path, default=BACKBONES / "models", help=probes)
    one.add_argument("--own", type=Path, default=PROBE_FOLDER, help="folder of the probe of our own backbone")
    selections = "folder with NAME/plan and NAME/best-of-3 of select, for the wall clock"
    one.add_argument("--selections", type=Path, default=BACKBONES / "select", help=selections)
    add_page_options(one, "docs/backbones.json and docs/backbones.md")

    text = "compare ways to reduce a pipeline's attention to maps by what they say about the quality of images within a prompt"
    one = add_command(studies, "attention", _attention, text)
    one.add_argument("--pipeline", required=True, help=A_PIPELINE)
    prompts = "text file, one prompt per line; those of its training split are drawn"
    one.add_argument("--prompts", type=Path, required=True, help=prompts)
    one.add_argument("--metric", required=True, help=METRIC_HELP)
    one.add_argument("--count", type=positive_count, default=50, help="prompts to draw")
    one.add_argument("--seeds", type=positive_count, default=8, help="images per prompt")
    one.add_argument("--steps", type=positive_count, default=25, help="denoising steps of an image")
    one.add_argument("--at", type=step_list, default=(1, 5, 10), help="steps to look at, from 1 (default: 1,5,10)")
    one.add_argument("--batch", type=positive_count, default=8, help="images at a time")
    one.add_argument("--grid", type=grid_side, default=16, help="side of the attention maps")
    add_pipeline_options(one)
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")

    add_prompt_study(studies)


def _false_drop(options: argparse.Namespace) -> None:
    from ..evaluation.studies.false_drop import parse_alphas, parse_confidence, study_false_drop
    from ..evaluation.studies.resampling import study_resampling

    confidence = parse_confidence(options.confidence)
    if options.resample is None:
        alphas = parse_alphas(options.alphas or "0.01,0.02,0.05,0.1,0.2")
        text, figures = study_false_drop(options.probe or PROBE_FOLDER, options.steps or (5,), alphas, confidence)
        return _print(text, figures, options.json)
    if options.resample < 1 or confidence is None:
        raise ValueError("--resample: expected a number of calibrations from 1, and a --confidence")
    folders = [options.probe] if options.probe else probes_with_trajectories()
    alphas = parse_alphas(options.alphas or "0.01,0.02,0.05,0.1")
    text, rows = study_resampling(folders, alphas, options.resample, options.steps, confidence, _progress("false drops"))
    _print(text, {"rows": rows}, options.json)


def _plans(options: argparse.Namespace) -> None:
    from ..planning.matrices import study_matrices
    from ..planning.study import study_plans

    if options.matrices is not None:
        files = sorted(options.matrices.glob("*.npz"))
        if not files:
            raise FileNotFoundError(f"no .npz files in {options.matrices}")
        text, rows = study_matrices(files, _progress("matrices"))
    else:
        text, rows = study_plans(options.probe or probes_with_trajectories(), most_seeds=options.seeds, each=_progress("plans"))
    _print(text, {"rows": rows}, options.json)


def _selection(options: argparse.Namespace) -> None:
    from ..selection.comparison import study_selection

    text, rows = study_selection(options.folders)
    _print(text, {"rows": rows}, options.json)


def _transfer(options: argparse.Namespace) -> None:
    from ..evaluation.transfer import study_transfer

    if not 0 < options.alpha < 1:
        raise ValueError(f"--alpha {options.alpha:g}: expected a number between 0 and 1")
    if min(options.feedbacks) < 1:
        raise ValueError(f"--feedbacks {min(options.feedbacks)}: expected numbers of samples from 1")
    text, rows = study_transfer(options.folder, options.data, options.step, options.alpha, options.feedbacks, options.split)
    _print(text, {"rows": rows}, options.json)


def _backbones(options: argparse.Namespace) -> None:
    from ..backbones.page import study_text, write_study
    from ..backbones.study import study_backbones

    study = study_backbones(options.models, options.own, options.selections, _progress("backbones"))
    if options.write:
        write_study(options.docs, study)
    _print(study_text(study), study.backbones, options.json)


def _attention(options: argparse.Namespace) -> None:
    from ..collection.reductions import study_attention
    from ..data.prompts import read_prompts

    same = ("pipeline", "metric", "seeds", "steps", "at", "layers", "batch", "grid", "dtype", "call", "load")
    prompts = read_prompts(options.prompts)["train"][: options.count]
    text, rows = study_attention(prompts=prompts, **{name: getattr(options, name) for name in same})
    _print(text, {"rows": rows}, options.json)


def probes_with_trajectories() -> list[Path]:
    """The folders of all probes that have trajectories. Names the others on stdout; raises FileNotFoundError where none has."""
    from ..probe.manifest import read_manifest

    manifests = {path.parent: read_manifest(path.parent) for path in sorted(MODELS.glob("*/*/probe.json"))}
    without = [f"{own['name']}@{own['version']}" for own in manifests.values() if own.get("trajectories") is None]
    if len(without) == len(manifests):
        raise FileNotFoundError(
            f"no probe in {MODELS} has trajectories ({', '.join(without) or 'there is none'}): "
            "'diffusion-probe calibrate' writes them"
        )
    if without:
        print(f"Without trajectories, left out: {', '.join(without)}.\n")
    return [folder for folder, own in manifests.items() if own.get("trajectories") is not None]


def _progress(label: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A progress bar over items, where tqdm is installed: a study needs NumPy alone."""
    try:
        from ..progress import Progress
    except ModuleNotFoundError:
        return iter
    return lambda items: (items[index] for index in Progress(label, 0, len(items), unit="part"))


def _print(text: str, figures: object, as_json: bool) -> None:
    print(text)
    if as_json:
        print(json.dumps(figures))
