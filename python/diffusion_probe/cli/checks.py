"""The commands that need no data set: `selftest` and `overhead`."""

from __future__ import annotations

import argparse

from .options import add_command

BACKBONES = ("sd15", "sdxl", "sd3", "flux", "qwen-image")


def add_check_commands(commands: argparse._SubParsersAction) -> None:
    """Add both."""
    one = add_command(
        commands, "selftest", _selftest, "run the whole way on tiny random pipelines: the plumbing, not the science"
    )
    one.add_argument("--backbone", choices=[*BACKBONES, "all"], default="all", help="default: %(default)s")

    one = add_command(commands, "overhead", _overhead, "measure what capture costs: time, memory, and bytes on the wire")
    one.add_argument("--backbone", choices=[*BACKBONES, "all"], default="all", help="default: %(default)s")
    one.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")
    one.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="default: float32, on other devices bfloat16")
    one.add_argument("--pairs", type=int, default=40, help="of runs of a tiny pipeline (default: %(default)s)")
    one.add_argument("--repeats", type=int, default=7, help="of each layer at its true size (default: %(default)s)")


def _selftest(options: argparse.Namespace) -> None:
    from . import main
    from .selftest import selftest as run
    from .selftest import table

    print(table(run(_chosen_backbones(options), main)))


def _overhead(options: argparse.Namespace) -> None:
    import torch

    from ..devices import device_named
    from ..overhead import overhead as run
    from ..overhead import tables

    device = device_named(options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    print(tables(run(_chosen_backbones(options), device, dtype, options.pairs, options.repeats), device, dtype))


def _chosen_backbones(options: argparse.Namespace) -> tuple[str, ...]:
    return BACKBONES if options.backbone == "all" else (options.backbone,)
