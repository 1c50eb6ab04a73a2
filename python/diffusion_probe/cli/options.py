"""What several commands share: how a command is added, and options that mean the same everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

RUNS = Path("runs")
REFERENCE = Path("reference")


def add_command(commands, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    """A command with its options still to be added; `run` gets the parsed options."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=run)
    return parser


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`."""
    parser.add_argument("--data", type=Path, default=RUNS / "data", help="folder of the shards (default: %(default)s)")


def add_data_and_checkpoint(parser: argparse.ArgumentParser) -> None:
    """`--data` and `--checkpoint`."""
    add_data(parser)
    parser.add_argument("--checkpoint", type=Path, default=RUNS / "probe.pt", help="default: %(default)s")


def add_folder(parser: argparse.ArgumentParser) -> None:
    """`--folder`."""
    parser.add_argument(
        "--folder", type=Path, default=Path("models/pictogram/1"), help="the probe's folder (default: %(default)s)"
    )


def add_no_compile(parser: argparse.ArgumentParser) -> None:
    """`--no-compile`."""
    parser.add_argument("--no-compile", action="store_true", help="do without torch.compile (slower; needs no C++ compiler)")


def add_reference(parser: argparse.ArgumentParser) -> None:
    """Where the reference world lies."""
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="exported folder (default: %(default)s)")
    parser.add_argument("--backbone", type=Path, help="checkpoint to take the backbone from instead")
    parser.add_argument("--reward", type=Path, help="checkpoint to take the reward from instead")


def reference_source(options: argparse.Namespace, compiled: bool = False):
    """The reference world that the options of `add_reference` name."""
    from ..reference.source import ReferenceSource

    return ReferenceSource.load(options.reference, options.backbone, options.reward, compiled)


def step_list(text: str) -> tuple[int, ...]:
    """Such as 1,3,5."""
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected steps such as 1,3,5, not {text!r}") from None


def name_list(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(part for part in text.split(",") if part)
