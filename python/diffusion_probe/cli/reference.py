"""The commands of `reference`, which build the reference world."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import REFERENCE, RUNS, add_command, add_no_compile, add_reference, reference_source


def add_reference_commands(commands: argparse._SubParsersAction) -> None:
    """Add `reference` with its own commands."""
    reference = commands.add_parser("reference", help="build the reference world: scenes, backbone, reward")
    parts = reference.add_subparsers(required=True, metavar="command")
    one = add_command(parts, "scenes", _scenes, "paint a sheet of scenes with their captions")
    one.add_argument("--count", type=int, default=24, help="scenes (default: %(default)s)")
    one.add_argument("--out", type=Path, default=RUNS / "scenes.png", help="default: %(default)s")
    one.add_argument("--seed", type=int, default=0)

    one = add_command(parts, "train-backbone", _train_backbone, "train the text-to-image backbone (hours on two cores)")
    one.add_argument("--training-steps", type=int, default=9000, help="batches of 64 (default: %(default)s)")
    one.add_argument("--start-from", type=Path, help="exported folder to begin with where there is no checkpoint yet")
    add_no_compile(one)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint (default: %(default)s)")

    one = add_command(parts, "train-reward", _train_reward, "train and validate the reward")
    one.add_argument("--training-steps", type=int, default=2500, help="batches of 64 (default: %(default)s)")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--reward", type=Path, default=RUNS / "reward.pt", help="checkpoint (default: %(default)s)")

    one = add_command(parts, "sample", _sample, "draw a sheet of generated images with their qualities")
    one.add_argument("--count", type=int, default=100, help="images (default: %(default)s)")
    one.add_argument("--split", choices=["world", "train"], default="train", help="captions from (default: %(default)s)")
    one.add_argument("--out", type=Path, default=RUNS / "sample.png", help="default: %(default)s")
    add_reference(one)

    one = add_command(parts, "export", _export_reference, "write backbone, text encoder and reward as ONNX")
    one.add_argument("--out", type=Path, default=REFERENCE, help="folder (default: %(default)s)")
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint (default: %(default)s)")
    one.add_argument("--reward", type=Path, help=f"checkpoint (default: {RUNS / 'reward.pt'}, else the reward in the folder)")


def _scenes(options: argparse.Namespace) -> None:
    import numpy as np

    from ..reference.contact_sheet import write_contact_sheet
    from ..reference.scenes import lay_out
    from ..reference.splits import sample_caption

    rng = np.random.default_rng(options.seed)
    painted = [lay_out(sample_caption(rng), rng) for _ in range(options.count)]
    write_contact_sheet(options.out, [scene.image() for scene in painted], [scene.caption.text() for scene in painted])
    print(options.out)


def _train_backbone(options: argparse.Namespace) -> None:
    from ..reference.onnx_import import load_onnx_backbone
    from ..reference.train_backbone import train_backbone as run

    start = load_onnx_backbone(options.start_from) if options.start_from else None
    run(options.backbone, options.training_steps, options.seed, compiled=not options.no_compile, start=start)


def _train_reward(options: argparse.Namespace) -> None:
    from ..reference.train_reward import train_reward as run
    from ..reference.validate_reward import validate_reward

    report = validate_reward(run(options.reward, options.training_steps, options.seed))
    print(report.text())


def _sample(options: argparse.Namespace) -> None:
    from ..reference.contact_sheet import write_contact_sheet

    source = reference_source(options)
    prompts = source.prompts(options.split, options.count)
    samples = source.generate(prompts, [0] * len(prompts), (5,))
    labels = [f"{quality:.2f} {prompt}" for quality, prompt in zip(samples.quality, prompts, strict=True)]
    write_contact_sheet(options.out, list(samples.image.transpose(0, 2, 3, 1)), labels)
    print(options.out)


def _export_reference(options: argparse.Namespace) -> None:
    from ..reference.onnx_export import export_reference as run
    from ..reference.source import ReferenceSource

    trained = RUNS / "reward.pt"
    reward = options.reward or (trained if trained.exists() else None)
    run(ReferenceSource.load(options.out, options.backbone, reward), options.out)
