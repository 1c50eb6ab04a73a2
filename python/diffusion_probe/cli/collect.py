"""The command `collect`: from a pipeline of diffusers, or without one from the reference world."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .options import RUNS, add_command, add_no_compile, add_reference, name_list, reference_source, step_list

DTYPES = ("bfloat16", "float16", "float32")
METRICS = "imagereward, hpsv2, clip, aesthetic, pickscore, or module:function of your own"
# Where an option is not given: of the reference world, of a pipeline.
PROMPTS = {"train": 3000, "calibration": 600, "test": 600}
TEST_SEEDS, PIPELINE_TEST_SEEDS = 16, 8
AT, PIPELINE_AT = (1, 3, 5, 10, 15), (1, 3, 5, 10)
BATCH, PIPELINE_BATCH = 64, 8


def add_collect_command(commands: argparse._SubParsersAction) -> None:
    """Add it."""
    parser = add_command(commands, "collect", _collect, "generate images and keep what a probe learns from")
    parser.add_argument(
        "--out", "--data", dest="data", type=Path, default=RUNS / "data", help="folder for the shards (default: %(default)s)"
    )
    for split, count in PROMPTS.items():
        parser.add_argument(
            f"--{split}", type=int, help=f"{split} prompts at most (default: {count}; of a pipeline: all of the file)"
        )
    parser.add_argument("--seeds", type=int, default=8, help="images per prompt (default: %(default)s)")
    parser.add_argument(
        "--test-seeds", type=int, help=f"images per test prompt (default: {TEST_SEEDS}; of a pipeline: {PIPELINE_TEST_SEEDS})"
    )
    parser.add_argument("--at", type=step_list, help="steps to watch, from 1 (default: 1,3,5,10,15; of a pipeline: 1,3,5,10)")
    parser.add_argument("--batch", type=int, help=f"images at a time (default: {BATCH}; of a pipeline: {PIPELINE_BATCH})")
    own = parser.add_argument_group("your own backbone")
    own.add_argument("--pipeline", help="pipeline of diffusers: an ID or a local folder (default: the reference world)")
    own.add_argument("--prompts", type=Path, help="text file, a prompt a line; a hash of each decides its split")
    own.add_argument("--metric", help=METRICS)
    own.add_argument("--metric-range", type=_range, help="LOW,HIGH of the metric (default: fixed by train, on its split)")
    own.add_argument("--steps", type=int, default=25, help="denoising steps in all (default: %(default)s)")
    own.add_argument("--layers", type=name_list, help="attention layers, names or patterns (default: ten over the depth)")
    own.add_argument("--name", help="of the backbone, for the probe's manifest (default: the pipeline's)")
    own.add_argument("--dtype", choices=DTYPES, help="default: bfloat16, on the CPU float32")
    own.add_argument("--call", type=_json, default={}, help="further arguments of a call, JSON: '{\"guidance_scale\": 3.5}'")
    own.add_argument("--load", type=_json, default={}, help="further arguments of from_pretrained, JSON")
    add_no_compile(parser)
    add_reference(parser)


def _collect(options: argparse.Namespace) -> None:
    if options.pipeline is not None:
        _collect_from_pipeline(options)
    else:
        _collect_from_reference(options, os.environ)


def _collect_from_reference(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Collect from the reference world, of several processes that `torchrun` has started this one's share."""
    from ..data.collect import Share, collect

    share = Share(int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1)))
    test_seeds = TEST_SEEDS if options.test_seeds is None else options.test_seeds
    seeds = {"train": options.seeds, "calibration": options.seeds, "test": test_seeds}
    counts = {split: count if getattr(options, split) is None else getattr(options, split) for split, count in PROMPTS.items()}
    source = reference_source(options, not options.no_compile)
    collect(source, options.data, counts, seeds, options.at or AT, options.batch or BATCH, share)


def _collect_from_pipeline(options: argparse.Namespace) -> None:
    """Collect from a pipeline. Raises ValueError where something is missing."""
    for needed in ("prompts", "metric"):
        if getattr(options, needed) is None:
            raise ValueError(f"--pipeline needs --{needed} too")
    from ..pipelines.command import CollectSettings, collect_from_pipeline

    test_seeds = PIPELINE_TEST_SEEDS if options.test_seeds is None else options.test_seeds
    collect_from_pipeline(
        CollectSettings(
            pipeline=options.pipeline,
            prompts=options.prompts,
            folder=options.data,
            metric=options.metric,
            counts={split: getattr(options, split) for split in PROMPTS},
            seeds={"train": options.seeds, "calibration": options.seeds, "test": test_seeds},
            steps=options.steps,
            at=options.at or PIPELINE_AT,
            layers=options.layers,
            batch=options.batch or PIPELINE_BATCH,
            name=options.name,
            metric_range=options.metric_range,
            dtype=options.dtype,
            call=options.call,
            load=options.load,
        )
    )


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH, not {text!r}") from None
    if not low < high:
        raise argparse.ArgumentTypeError(f"{low:g} is not below {high:g}")
    return low, high


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, not {text!r}")
    return value
