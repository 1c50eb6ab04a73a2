"""The command `collect`, from the reference world or from a pipeline of diffusers."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import (
    A_PIPELINE,
    METRIC_HELP,
    RUNS,
    add_command,
    add_pipeline_options,
    grid_side,
    positive_count,
    reference_source,
    share_of,
    step_list,
)

# Defaults that differ: of the reference world, and of a pipeline.
PROMPTS = {"train": 3000, "calibration": 600, "test": 600}
TEST_SEEDS, PIPELINE_TEST_SEEDS = 16, 8
AT, PIPELINE_AT = (1, 3, 5, 10, 15), (1, 3, 5, 10)
BATCH, PIPELINE_BATCH = 16, 8


def add_collect_command(commands: argparse._SubParsersAction) -> None:
    text = "generate images and store the attention and quality of each"
    parser = add_command(commands, "collect", _collect, text, "--no-compile", "--reference", "--backbone", "--reward")
    parser.add_argument("--out", "--data", dest="data", type=Path, default=RUNS / "data", help="folder of the data set")
    for split, count in PROMPTS.items():
        limit = f"most prompts of the {split} split (default: {count}; of a pipeline: all of the file)"
        parser.add_argument(f"--{split}", type=int, help=limit)
    parser.add_argument("--seeds", type=int, default=8, help="images per prompt")
    share = "share of the captions that are put into other words (default: none; without a number: all)"
    parser.add_argument("--paraphrase", type=share_of, nargs="?", const=1.0, default=0.0, metavar="SHARE", help=share)
    more = "prompts of the calibration split that get as many seeds again, from the first (default: 0)"
    parser.add_argument("--calibration-more", type=int, default=0, help=more)
    unlabelled = "further prompts for distill, without images and qualities (default: 0)"
    parser.add_argument("--unlabelled", type=int, default=0, help=unlabelled)
    parser.add_argument("--unlabelled-seeds", type=int, default=2, help="samples per unlabelled prompt")
    test_seeds = f"images per prompt of the test split (default: {TEST_SEEDS}; of a pipeline: {PIPELINE_TEST_SEEDS})"
    parser.add_argument("--test-seeds", type=int, help=test_seeds)
    parser.add_argument("--at", type=step_list, help="steps to capture, from 1 (default: 1,3,5,10,15; of a pipeline: 1,3,5,10)")
    parser.add_argument("--batch", type=int, help=f"images at a time (default: {BATCH}; of a pipeline: {PIPELINE_BATCH})")
    own = parser.add_argument_group("options for your own backbone")
    own.add_argument("--pipeline", help=f"{A_PIPELINE} (default: the reference world)")
    own.add_argument("--prompts", type=Path, help="text file, one prompt per line; a hash of each decides its split")
    own.add_argument("--metric", help=METRIC_HELP)
    own.add_argument("--metric-range", type=_range, help="LOW,HIGH of the metric (default: set by train from its split)")
    own.add_argument("--steps", type=int, default=25, help="denoising steps of an image")
    own.add_argument("--name", help="name of the backbone in the probe's manifest (default: the pipeline's)")
    grid = "side of the attention maps; 8 where the denoiser has 8x8 positions"
    own.add_argument("--grid", type=grid_side, default=16, help=grid)
    baselines = "also store what evaluate compares the probe with: the metric of the predicted image, and the guidance difference"
    own.add_argument("--baselines", action="store_true", help=f"{baselines}, at each captured step")
    subjects = "module:function: takes prompts, returns the words of each that name a thing; for the Attend-and-Excite score"
    own.add_argument("--subjects", help=subjects)
    add_pipeline_options(own, "; auto: those that hold signal within prompts, see docs/train-your-own.md")
    own.add_argument("--layer-prompts", type=positive_count, default=50, help="prompts that --layers auto looks at")
    own.add_argument("--most-layers", type=positive_count, default=10, help="most layers that --layers auto keeps")


def _collect(options: argparse.Namespace) -> None:
    if options.pipeline is None:
        _collect_from_reference(options)
    else:
        _collect_from_pipeline(options)


def _collect_from_reference(options: argparse.Namespace) -> None:
    """Collect from the reference world; of several processes that `torchrun` started, the shards of this one."""
    if options.layers is not None:
        raise ValueError("--layers is for --pipeline: the reference world has layers of its own")
    from ..data.collect import Worker, collect
    from ..data.dataset import CALIBRATION_MORE, UNLABELLED

    counts = {split: count if getattr(options, split) is None else getattr(options, split) for split, count in PROMPTS.items()}
    counts |= {CALIBRATION_MORE: options.calibration_more, UNLABELLED: options.unlabelled}
    source = reference_source(options, not options.no_compile, options.paraphrase)
    seeds = {**_seeds(options, TEST_SEEDS), CALIBRATION_MORE: options.seeds, UNLABELLED: options.unlabelled_seeds}
    collect(source, options.data, counts, seeds, options.at or AT, options.batch or BATCH, Worker.of_environment())


def _collect_from_pipeline(options: argparse.Namespace) -> None:
    for needed in ("prompts", "metric"):
        if getattr(options, needed) is None:
            raise ValueError(f"--pipeline needs --{needed} too")
    for reserved in ("paraphrase", "calibration_more", "unlabelled"):
        if getattr(options, reserved):
            raise ValueError(f"--{reserved.replace('_', '-')} is for the reference world, not for --pipeline")
    from ..collection.collect import collect_from_pipeline

    same = (
        *("pipeline", "prompts", "metric", "steps", "layers", "layer_prompts", "most_layers", "name", "metric_range"),
        *("dtype", "call", "load", "grid", "baselines", "subjects"),
    )
    collect_from_pipeline(
        folder=options.data,
        counts={split: getattr(options, split) for split in PROMPTS},
        seeds=_seeds(options, PIPELINE_TEST_SEEDS),
        at=options.at or PIPELINE_AT,
        batch=options.batch or PIPELINE_BATCH,
        **{name: getattr(options, name) for name in same},
    )


def _seeds(options: argparse.Namespace, test_seeds: int) -> dict[str, int]:
    """Images per prompt of each split."""
    test = test_seeds if options.test_seeds is None else options.test_seeds
    return {"train": options.seeds, "calibration": options.seeds, "test": test}


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH, not {text!r}") from None
    if not low < high:
        raise argparse.ArgumentTypeError(f"{low:g} is not below {high:g}")
    return low, high
