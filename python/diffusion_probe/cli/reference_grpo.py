"""The commands `reference grpo` and `reference grpo-report`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ..reference.grpo.settings import ARMS, SCORED, GrpoSettings
from .options import PROBE_FOLDER, RUNS, add_command, positive, positive_count, reference_source

LOGS = RUNS / "grpo"

# Options that set the members of the same name of GrpoSettings.
COUNTS = {
    "--iterations": "how often samples are drawn",
    "--prompts": "prompts per iteration",
    "--group": "samples of a prompt",
    "--updates": "optimizer steps per iteration",
    "--decision-step": "the step after which samples are dropped, from 1",
    "--steps": "steps of the sampler",
    "--window": "steps with noise, which are trained on",
    "--window-last": "the last step that the window may reach",
    "--micro-batch": "transitions per backward pass",
}
NUMBERS = {
    "--share": "share of a group that goes on, on average",
    "--floor": "the least probability with which the arm tails keeps a sample",
    "--noise": "noise of the steps in the window",
    "--learning-rate": "learning rate after the warm-up",
    "--clip": "range of the clipped ratio",
}


def add_grpo_commands(parts: argparse._SubParsersAction) -> None:
    """Add them to the group `reference`."""
    text = "train the backbone by Flow-GRPO, on whole groups or on a part that a probe chooses (hours on two cores)"
    one = add_command(parts, "grpo", _grpo, text, "--reference", "--backbone", "--reward", "--seed", "--fresh")
    arms = "which samples of a group go on: all, a part at random, more of both tails of the scores, the best, the most varied"
    one.add_argument("--arm", choices=ARMS, default="tails", help=arms)
    one.add_argument("--probe", type=Path, default=PROBE_FOLDER, help="folder of the probe that scores the samples")
    one.add_argument(
        "--oracle", action="store_true", help="score with the reward of the finished images, whose calls are not counted"
    )
    for option, text in COUNTS.items():
        one.add_argument(option, type=positive_count, default=_setting(option), help=text)
    for option, text in NUMBERS.items():
        one.add_argument(option, type=positive, default=_setting(option), help=text)
    one.add_argument("--beta", type=float, default=_setting("--beta"), help="weight of the divergence from the start, from 0")
    one.add_argument("--held-out", choices=["calibration", "test"], default="calibration", help="split of the judged captions")
    one.add_argument("--captions", type=positive_count, default=64, help="judged captions")
    one.add_argument("--judge-seeds", type=positive_count, default=4, help="images of a judged caption")
    one.add_argument("--judge-every", type=positive_count, default=10, help="iterations between judgements and checkpoints")
    second = "checkpoint of a second reward, trained with another seed, that shows whether the first one is exploited"
    one.add_argument("--second-reward", type=Path, help=second)
    one.add_argument("--checkpoint", type=Path, help=f"resumed if it exists (default: {LOGS}/ARM-SEED.pt)")
    one.add_argument("--dry-run", action="store_true", help="say how long it takes, and train nothing")

    one = add_command(parts, "grpo-report", _report, "draw held-out reward against denoiser calls, and compare the arms")
    one.add_argument("logs", nargs="+", type=Path, help="the .log.jsonl files of trainings")
    one.add_argument("--out", type=Path, default=LOGS / "curves.png", help="PNG file to write; the figures go beside it, as JSON")


def _setting(option: str) -> Any:
    """The default of an option that sets a member of GrpoSettings."""
    return getattr(GrpoSettings, _member(option))


def _member(option: str) -> str:
    return option[2:].replace("-", "_")


def _grpo(options: argparse.Namespace) -> None:
    from ..conditions.differences import describe_differences, differences
    from ..probe.manifest import read_manifest
    from ..reference.grpo.judges import probe_scores
    from ..reference.grpo.projection import project
    from ..reference.grpo.training import GrpoTraining, Judging
    from ..reference.train_reward import load_reward

    numbers = {_member(option): getattr(options, _member(option)) for option in (*COUNTS, *NUMBERS, "--beta")}
    settings = GrpoSettings(arm=options.arm, seed=options.seed, **numbers)
    source = reference_source(options)
    score = probe_scores(options.probe, source, settings.steps, settings.decision_step)
    foreign = differences(source.conditions, read_manifest(options.probe).get("conditions") or source.conditions)
    if foreign:
        print(f"the probe is of other conditions, so it may rank worse: {describe_differences(foreign)}", file=sys.stderr)
    judge = "oracle" if options.oracle else hashlib.sha256((options.probe / "probe.json").read_bytes()).hexdigest()[:16]
    name = f"{settings.arm}-oracle" if options.oracle and settings.arm in SCORED else settings.arm
    training = GrpoTraining(
        source,
        options.checkpoint or LOGS / f"{name}-{settings.seed}.pt",
        settings,
        Judging(
            source.prompts(options.held_out, options.captions),
            options.judge_seeds,
            options.judge_every,
            score if options.judge_seeds > 1 else None,
            load_reward(options.second_reward) if options.second_reward else None,
        ),
        score=None if options.oracle else score,
        judge=judge,
        fresh=options.fresh,
    )
    print(project(training).text(), flush=True)
    if not options.dry_run:
        print(training.run())


def _report(options: argparse.Namespace) -> None:
    from ..reference.grpo.report import Curve, compare, draw_curves

    curves = [Curve.read(log) for log in options.logs]
    text = json.dumps(compare(curves), indent=1)
    draw_curves(curves, options.out)
    options.out.with_suffix(".json").write_text(text + "\n")
    print(text)
    print(options.out)
