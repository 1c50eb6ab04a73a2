"""The command line `diffusion-probe`. Each file of this folder holds one group of commands, which import what they run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from .capture import add_capture_commands
from .checks import add_check_commands
from .collect import add_collect_command
from .distill import add_distill_command
from .evaluation import add_evaluation_commands
from .hub import add_hub_commands
from .planning import add_plan_command
from .prompting import add_prompt_command
from .recalibration import add_recalibrate_command
from .reference import add_reference_commands
from .selection import add_select_command
from .studies import add_study_commands
from .training import add_training_commands

EXTRAS = {
    "huggingface_hub": "hub",
    "openai": "rewrite",
}  # that bring a package, unless it is one of those that most commands need


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 where a check found something wrong.

    A mistake of the user is one line on stderr and exit code 2.
    """
    options = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int | None] = options.command
    try:
        return command(options) or 0
    except (ConnectionError, FileNotFoundError, ValueError) as error:
        print(f"diffusion-probe: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "", "train,diffusers")
        print(f"diffusion-probe: {error.name} is missing: pip install 'diffusion-probe[{extra}]'", file=sys.stderr)
    return 2


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands and their options."""
    parser = argparse.ArgumentParser(
        prog="diffusion-probe", description="Train, calibrate and evaluate probes of text-to-image backbones."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (
        add_collect_command,
        add_training_commands,
        add_distill_command,
        add_evaluation_commands,
        add_recalibrate_command,
        add_plan_command,
        add_select_command,
        add_prompt_command,
        add_study_commands,
        add_check_commands,
        add_capture_commands,
        add_hub_commands,
        add_reference_commands,
    ):
        add(commands)
    return parser
