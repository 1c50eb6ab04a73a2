"""The commands `selftest` and `overhead`, which need no data set."""

from __future__ import annotations

import argparse

from .options import add_command

BACKBONES = ("sd15", "sdxl", "sd3", "flux", "qwen-image")


def add_check_commands(commands: argparse._SubParsersAction) -> None:
    selftest = add_command(commands, "selftest", _selftest, "run every stage from collect to the guard on tiny random pipelines")
    one = add_command(commands, "overhead", _overhead, "measure the time, memory and request bytes that capture costs")
    for parser in (selftest, one):
        parser.add_argument("--backbone", choices=[*BACKBONES, "all"], default="all", help="kind of pipeline")
    one.add_argument("--device", default="cpu", help="device of PyTorch, such as cuda")
    one.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="default: float32 on the CPU, else bfloat16")
    one.add_argument("--pairs", type=int, default=40, help="pairs of generations of a tiny pipeline, with and without capture")
    one.add_argument("--repeats", type=int, default=7, help="measurements of each attention layer at its true size")


def _selftest(options: argparse.Namespace) -> None:
    from ..selftest.stages import selftest, stage_table
    from . import main

    print(stage_table(selftest(_backbones(options), main)))


def _overhead(options: argparse.Namespace) -> None:
    import torch

    from ..devices import device_named
    from ..overhead import overhead as run
    from ..overhead import tables

    device = device_named(options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    print(tables(run(_backbones(options), device, dtype, options.pairs, options.repeats), device, dtype))


def _backbones(options: argparse.Namespace) -> tuple[str, ...]:
    return BACKBONES if options.backbone == "all" else (options.backbone,)
