"""The command `plan`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .options import PROBE_FOLDER, add_command, positive, positive_count


def add_plan_command(commands: argparse._SubParsersAction) -> None:
    text = "find how many samples to start, at which steps to ask and how many to keep, for the best images under a budget"
    one = add_command(commands, "plan", _plan, text)
    one.add_argument("--probe", type=Path, default=PROBE_FOLDER, help="folder with probe.json and its trajectories")
    budget = one.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=positive, help="budget in whole images (default: 1.5, 2, 3, 4 and 5)")
    budget.add_argument("--calls", type=positive, help="budget in denoiser calls of one sample")
    budget.add_argument("--seconds", type=positive, help="budget in seconds; needs --costs")
    one.add_argument("--costs", help="measured seconds, such as call=0.21,capture=0.01,question=0.002,decode=0.3")
    one.add_argument("--pick", type=positive_count, default=1, help="how many of the finished images are used")
    one.add_argument("--final", choices=["metric", "score"], default="metric", help="what finds the best of the finished images")
    one.add_argument("--seeds", type=positive_count, help="start at most so many samples (default: as many as were calibrated)")
    one.add_argument("--curve", type=Path, help="PNG file of quality against budget")
    one.add_argument("--data", type=Path, help="the probe's data set, for the x0 preview in the curve")
    one.add_argument("--json", action="store_true", help="print the plans as JSON too, as the last line")
    one.add_argument("--write", action="store_true", help="put plans for 1.5, 2, 3, 4 and 5 images into probe.json")


def _plan(options: argparse.Namespace) -> None:
    from ..planning.command import images_of, plan_command
    from ..planning.plan import Costs
    from ..planning.planner import Wish, parse_costs
    from ..probe.manifest import read_manifest, total_steps_of

    if options.seconds is not None and options.costs is None:
        raise ValueError("--seconds needs --costs, the measured seconds of a denoiser call")
    costs = Costs() if options.costs is None else parse_costs(options.costs)
    wish = Wish(options.pick, options.final, costs, options.seeds)
    total_steps = total_steps_of(read_manifest(options.probe))
    budgets = images_of(wish, total_steps, options.budget, options.calls, options.seconds)
    text, figures = plan_command(options.probe, wish, budgets, options.curve, options.data, options.write)
    print(text)
    if options.json:
        print(json.dumps(figures))
