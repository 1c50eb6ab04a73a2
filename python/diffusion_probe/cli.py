"""The command line: `diffusion-probe collect | train | export | calibrate | evaluate | selftest | overhead | reference ...`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .cli_collect import add_collect_options, name_list, run_on_pipeline, run_on_reference, step_list

RUNS = Path("runs")
REFERENCE = Path("reference")
BACKBONES = ("sd15", "sdxl", "sd3", "flux", "qwen-image")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Mistakes of the user end in one line on stderr, without a trace."""
    options = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except (FileNotFoundError, ValueError) as error:
        print(f"diffusion-probe: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"diffusion-probe: {error.name} is missing: pip install 'diffusion-probe[train,diffusers]'", file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="diffusion-probe", description="Train and judge probes of text-to-image backbones.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    one = _command(commands, "collect", collect, "generate images and keep what a probe learns from")
    add_collect_options(one, RUNS / "data")
    _no_compile(one)
    _reference(one)

    one = _command(commands, "train", train, "train a probe on collected samples")
    _data_and_checkpoint(one)
    one.add_argument("--training-steps", type=int, default=6000, help="batches (default: %(default)s)")
    one.add_argument("--layers", type=name_list, default=None, help="captured layers to read (default: all)")
    one.add_argument("--signals", type=name_list, default=(), help="inputs beyond attention: preview,token_ids (default: none)")
    one.add_argument("--width", type=int, default=32, help="channels of the first block (default: %(default)s)")
    one.add_argument("--learning-rate", type=float, default=1.5e-3, help="peak learning rate (default: %(default)s)")
    one.add_argument("--ranking-weight", type=float, help="weight of the ranking loss (default: 0.3; of the preset paper: 0)")
    one.add_argument("--weight-decay", type=float, default=0.05, help="AdamW's (default: %(default)s)")
    one.add_argument(
        "--mirror",
        type=float,
        help="chance that prompts naming no side are shown mirrored (default: 0.5; of the preset paper: 0)",
    )
    one.add_argument(
        "--preset",
        choices=["ours", "paper"],
        default="ours",
        help="ours: ranking within prompts; paper: as published (default: ours)",
    )
    one.add_argument("--device", default="auto", help="auto, cpu, cuda: auto is cuda where there is one (default: %(default)s)")
    one.add_argument("--seed", type=int, default=0)

    one = _command(commands, "export", export, "write the probe's folder for the service")
    _data_and_checkpoint(one)
    _folder(one)
    one.add_argument("--name", default="pictogram", help="name of the probe (default: %(default)s)")
    one.add_argument("--probe-version", type=int, default=1, help="its version (default: %(default)s)")
    one.add_argument(
        "--good-at", type=float, help="quality from which an image counts as good (default: the data set's, else its median)"
    )

    one = _command(commands, "calibrate", calibrate, "calibrate the exported probe on held-out prompts")
    _data(one)
    _folder(one)

    one = _command(commands, "evaluate", evaluate, "judge the exported probe on test prompts, beside all baselines")
    _data(one)
    _folder(one)
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="default: %(default)s")
    one.add_argument("--repeats", type=int, default=300, help="bootstrap repetitions (default: %(default)s)")
    one.add_argument("--at", type=step_list, help="steps to report, such as 1,5 (default: 1,5,10,15 where collected)")

    one = _command(commands, "examples", examples, "write real requests for people to try")
    _data(one)
    _folder(one)
    one.add_argument("--out", type=Path, default=Path("examples"), help="folder (default: %(default)s)")
    one.add_argument("--document", type=Path, default=Path("openapi/examples.json"), help="JSON examples (default: %(default)s)")
    one.add_argument("--step", type=int, default=5, help="default: %(default)s")
    one.add_argument("--split", choices=["calibration", "test"], default="test", help="default: %(default)s")

    one = _command(commands, "selftest", selftest, "run the whole way on tiny random pipelines: the plumbing, not the science")
    one.add_argument("--backbone", choices=[*BACKBONES, "all"], default="all", help="default: %(default)s")

    one = _command(commands, "overhead", overhead, "measure what capture costs: time, memory, and bytes on the wire")
    one.add_argument("--backbone", choices=[*BACKBONES, "all"], default="all", help="default: %(default)s")
    one.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")
    one.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="default: float32, on other devices bfloat16")
    one.add_argument("--pairs", type=int, default=40, help="of runs of a tiny pipeline (default: %(default)s)")
    one.add_argument("--repeats", type=int, default=7, help="of each layer at its true size (default: %(default)s)")

    reference = commands.add_parser("reference", help="build the reference world: scenes, backbone, reward")
    parts = reference.add_subparsers(required=True, metavar="command")
    one = _command(parts, "scenes", scenes, "paint a sheet of scenes with their captions")
    one.add_argument("--count", type=int, default=24, help="scenes (default: %(default)s)")
    one.add_argument("--out", type=Path, default=RUNS / "scenes.png", help="default: %(default)s")
    one.add_argument("--seed", type=int, default=0)

    one = _command(parts, "train-backbone", train_backbone, "train the text-to-image backbone (hours on two cores)")
    one.add_argument("--training-steps", type=int, default=9000, help="batches of 64 (default: %(default)s)")
    one.add_argument("--start-from", type=Path, help="exported folder to begin with where there is no checkpoint yet")
    _no_compile(one)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint (default: %(default)s)")

    one = _command(parts, "train-reward", train_reward, "train and validate the reward")
    one.add_argument("--training-steps", type=int, default=2500, help="batches of 64 (default: %(default)s)")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--reward", type=Path, default=RUNS / "reward.pt", help="checkpoint (default: %(default)s)")

    one = _command(parts, "sample", sample, "draw a sheet of generated images with their qualities")
    one.add_argument("--count", type=int, default=100, help="images (default: %(default)s)")
    one.add_argument("--split", choices=["world", "train"], default="train", help="captions from (default: %(default)s)")
    one.add_argument("--out", type=Path, default=RUNS / "sample.png", help="default: %(default)s")
    _reference(one)

    one = _command(parts, "export", export_reference, "write backbone, text encoder and reward as ONNX")
    one.add_argument("--out", type=Path, default=REFERENCE, help="folder (default: %(default)s)")
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint (default: %(default)s)")
    one.add_argument("--reward", type=Path, help=f"checkpoint (default: {RUNS / 'reward.pt'}, else the reward in the folder)")
    return parser


def collect(options: argparse.Namespace) -> None:
    if options.pipeline is not None:
        run_on_pipeline(options)
    else:
        run_on_reference(options, lambda: _reference_source(options, not options.no_compile), os.environ)


def train(options: argparse.Namespace) -> None:
    from .devices import device_named
    from .reference.language import VOCABULARY
    from .train import train_probe
    from .train_settings import PAPER, TrainSettings

    preset = PAPER if options.preset == "paper" else {}
    if options.ranking_weight is not None:
        preset = {**preset, "ranking_weight": options.ranking_weight}
    if options.mirror is not None:
        preset = {**preset, "mirror_share": options.mirror}
    settings = TrainSettings(
        steps=options.training_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        layers=options.layers,
        signals=options.signals,
        width=options.width,
        seed=options.seed,
        **preset,
    )
    train_probe(options.data, options.checkpoint, settings, len(VOCABULARY), device_named(options.device))


def export(options: argparse.Namespace) -> None:
    from .export import export_probe

    export_probe(options.data, options.checkpoint, options.folder, options.name, options.probe_version, options.good_at)


def calibrate(options: argparse.Namespace) -> None:
    from .calibrate import calibrate as run

    run(options.data, options.folder)


def evaluate(options: argparse.Namespace) -> None:
    from .evaluate import evaluate as run

    run(options.data, options.folder, options.split, options.repeats, options.at)
    print((options.folder / "report.md").read_text())


def examples(options: argparse.Namespace) -> None:
    from .examples import write_examples

    write_examples(options.data, options.folder, options.out, options.document, options.step, options.split)


def selftest(options: argparse.Namespace) -> None:
    from .selftest import selftest as run
    from .selftest import table

    print(table(run(_backbones(options), main)))


def overhead(options: argparse.Namespace) -> None:
    import torch

    from .devices import device_named
    from .overhead import overhead as run
    from .overhead import tables

    device = device_named(options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    print(tables(run(_backbones(options), device, dtype, options.pairs, options.repeats), device, dtype))


def scenes(options: argparse.Namespace) -> None:
    import numpy as np

    from .reference.scenes import sample_scene
    from .reference.sheet import write_sheet

    rng = np.random.default_rng(options.seed)
    painted = [sample_scene(rng) for _ in range(options.count)]
    write_sheet(options.out, [scene.image() for scene in painted], [scene.request.caption() for scene in painted])
    print(options.out)


def train_backbone(options: argparse.Namespace) -> None:
    from .reference.restore import restore_backbone
    from .reference.train_backbone import train_backbone as run

    start = restore_backbone(options.start_from) if options.start_from else None
    run(options.backbone, options.training_steps, options.seed, compiled=not options.no_compile, start=start)


def train_reward(options: argparse.Namespace) -> None:
    from .reference.train_reward import train_reward as run
    from .reference.train_reward import validate_reward

    report = validate_reward(run(options.reward, options.training_steps, options.seed))
    print(report.text())


def sample(options: argparse.Namespace) -> None:
    from .reference.sheet import write_sheet

    source = _reference_source(options)
    prompts = source.prompts(options.split, options.count)
    samples = source.generate(prompts, [0] * len(prompts), (5,))
    labels = [f"{quality:.2f} {prompt}" for quality, prompt in zip(samples.quality, prompts, strict=True)]
    write_sheet(options.out, list(samples.image.transpose(0, 2, 3, 1)), labels)
    print(options.out)


def export_reference(options: argparse.Namespace) -> None:
    from .reference.export import export_reference as run
    from .reference.source import ReferenceSource

    trained = RUNS / "reward.pt"
    reward = options.reward or (trained if trained.exists() else None)
    run(ReferenceSource.load(options.out, options.backbone, reward), options.out)


def _backbones(options: argparse.Namespace) -> tuple[str, ...]:
    return BACKBONES if options.backbone == "all" else (options.backbone,)


def _reference_source(options: argparse.Namespace, compiled: bool = False):
    from .reference.source import ReferenceSource

    return ReferenceSource.load(options.reference, options.backbone, options.reward, compiled)


def _command(commands, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=run)
    return parser


def _reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="exported folder (default: %(default)s)")
    parser.add_argument("--backbone", type=Path, help="checkpoint to take the backbone from instead")
    parser.add_argument("--reward", type=Path, help="checkpoint to take the reward from instead")


def _no_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-compile", action="store_true", help="do without torch.compile (slower; needs no C++ compiler)")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=RUNS / "data", help="folder of the shards (default: %(default)s)")


def _data_and_checkpoint(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument("--checkpoint", type=Path, default=RUNS / "probe.pt", help="default: %(default)s")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=Path("models/pictogram/1"), help="the probe's folder (default: %(default)s)"
    )


if __name__ == "__main__":
    sys.exit(main())
