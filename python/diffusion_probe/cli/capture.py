"""The group `capture`: what is read from a backbone of one's own."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .checks import BACKBONES
from .options import A_PIPELINE, add_command, add_pipeline_options


def add_capture_commands(commands: argparse._SubParsersAction) -> None:
    text = "check what is captured from a backbone"
    group = commands.add_parser("capture", help=text, description=f"{text.capitalize()}.")
    parts = group.add_subparsers(required=True, metavar="command")
    text = "draw a few images and compare captured attention with the whole softmax matrix"
    one = add_command(parts, "check", _check, text)
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("--pipeline", help=A_PIPELINE)
    which.add_argument("--tiny", choices=BACKBONES, help="a tiny pipeline with random weights")
    one.add_argument("--device", default="auto", help="auto, cpu or cuda; auto is cuda where it is available (default: auto)")
    one.add_argument("--at", type=int, default=2, help="the step to compare, from 1, of three")
    one.add_argument("--json", action="store_true", help="print JSON in place of the table")
    add_pipeline_options(one)


def _check(options: argparse.Namespace) -> int:
    from ..check import check_pipeline
    from ..devices import device_named

    call: dict[str, Any] = dict(options.call)
    device = device_named(options.device)
    if options.tiny is not None:
        from ..tiny import TinyBackbone

        backbone = TinyBackbone(options.tiny)
        pipe = backbone.pipe.to(device)
        call = {**backbone.settings, **call}
    else:
        from ..pipelines.load import load_pipeline

        pipe = load_pipeline(options.pipeline, device, options.dtype, options.load)
    report = check_pipeline(pipe, call, options.layers, options.at)
    print(json.dumps(report.to_json(), indent=2) if options.json else report)
    return 0 if report.ok else 1
