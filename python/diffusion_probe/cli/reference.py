"""The group `reference`: commands that build the reference world."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import REFERENCE, RUNS, add_command, reference_source, share_of
from .reference_grpo import add_grpo_commands
from .train_pipeline import add_train_pipeline_command

SHEET_COLUMNS = 10


def add_reference_commands(commands: argparse._SubParsersAction) -> None:
    text = "build the reference world: scenes, backbone and reward"
    reference = commands.add_parser("reference", help=text, description=f"{text.capitalize()}.")
    parts = reference.add_subparsers(required=True, metavar="command")
    one = add_command(parts, "scenes", _scenes, "draw a sheet of random scenes with their captions", "--seed")
    one.add_argument("--count", type=int, default=24, help="number of scenes")
    one.add_argument("--out", type=Path, default=RUNS / "scenes.png", help="PNG file to write")

    text = "train the text-to-image backbone (hours on two cores)"
    one = add_command(parts, "train-backbone", _train_backbone, text, "--no-compile", "--seed", "--fresh")
    one.add_argument("--training-steps", type=int, default=9000, help="optimizer steps, one batch of 64 each")
    one.add_argument("--start-from", type=Path, help="exported folder whose weights to start from if there is no checkpoint")
    one.add_argument("--learning-rate", type=float, default=8e-4, help="peak learning rate; fine-tuning needs a lower one")
    share = "share of the captions in another wording or order, from 0 to 1, so that they are drawn as well"
    one.add_argument("--paraphrase", type=share_of, default=0.0, metavar="SHARE", help=share)
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint, resumed if it exists")

    add_train_pipeline_command(parts)

    one = add_command(parts, "train-reward", _train_reward, "train and validate the reward network", "--seed", "--fresh")
    one.add_argument("--training-steps", type=int, default=2500, help="optimizer steps, one batch of 64 each")
    one.add_argument("--reward", type=Path, default=RUNS / "reward.pt", help="checkpoint, resumed if it exists")

    text = "draw a sheet of generated images with their qualities"
    one = add_command(parts, "sample", _sample, text, "--reference", "--backbone", "--reward")
    one.add_argument("--count", type=int, default=100, help="number of images")
    one.add_argument("--split", choices=["world", "train"], default="train", help="split that the captions are from")
    one.add_argument("--out", type=Path, default=RUNS / "sample.png", help="PNG file to write")

    text = "print captions of a split, one per line, for select --prompts"
    one = add_command(parts, "captions", _captions, text)
    one.add_argument("--count", type=int, default=100, help="number of captions")
    one.add_argument("--split", choices=["train", "calibration", "test"], default="test", help="split of the data set")
    share = "share of the captions in two or three sentences, from 0 to 1; for pipelines of train-pipeline alone"
    one.add_argument("--sentences", type=share_of, default=0.0, metavar="SHARE", help=share)

    one = add_command(parts, "export", _export_reference, "write backbone, text encoder and reward as ONNX")
    one.add_argument("--out", type=Path, default=REFERENCE, help="folder to write")
    one.add_argument("--backbone", type=Path, default=RUNS / "backbone.pt", help="checkpoint of the backbone")
    reward = f"checkpoint of the reward (default: {RUNS / 'reward.pt'} if it exists, else the reward in the folder)"
    one.add_argument("--reward", type=Path, help=reward)
    grid = "side of the attention maps (default: that of the folder, else 8)"
    one.add_argument("--grid", type=int, choices=[8, 16], help=grid)

    add_grpo_commands(parts)


def _scenes(options: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image

    from ..reference.scenes import lay_out
    from ..reference.splits import sample_caption
    from ..selection.contact_sheet import Tile, write_contact_sheet

    rng = np.random.default_rng(options.seed)
    painted = [lay_out(sample_caption(rng), rng) for _ in range(options.count)]
    tiles = [Tile(Image.fromarray(scene.image()), [scene.caption.text()]) for scene in painted]
    write_contact_sheet(options.out, tiles, SHEET_COLUMNS)
    print(options.out)


def _train_backbone(options: argparse.Namespace) -> None:
    from ..reference.onnx_import import load_onnx_backbone
    from ..reference.train_backbone import train_backbone as run

    run(
        options.backbone,
        options.training_steps,
        options.seed,
        compiled=not options.no_compile,
        start=load_onnx_backbone(options.start_from) if options.start_from else None,
        fresh=options.fresh,
        learning_rate=options.learning_rate,
        paraphrase=options.paraphrase,
    )


def _train_reward(options: argparse.Namespace) -> None:
    from ..reference.train_reward import train_reward as run
    from ..reference.validate_reward import validate_reward

    report = validate_reward(run(options.reward, options.training_steps, options.seed, fresh=options.fresh))
    print(report.text())


def _sample(options: argparse.Namespace) -> None:
    from PIL import Image

    from ..selection.contact_sheet import Tile, write_contact_sheet

    source = reference_source(options)
    prompts = source.prompts(options.split, options.count)
    samples = source.generate(prompts, [0] * len(prompts), (5,))
    labels = [f"{quality:.2f} {prompt}" for quality, prompt in zip(samples.quality, prompts, strict=True)]
    images = [Image.fromarray(pixels) for pixels in samples.image.transpose(0, 2, 3, 1)]
    tiles = [Tile(image, [label]) for image, label in zip(images, labels, strict=True)]
    write_contact_sheet(options.out, tiles, SHEET_COLUMNS)
    print(options.out)


def _captions(options: argparse.Namespace) -> None:
    import numpy as np

    from ..reference.sentences import caption_texts
    from ..reference.splits import data_captions

    captions = data_captions(options.split, options.count)
    print("\n".join(caption_texts(captions, options.sentences, np.random.default_rng(0))))


def _export_reference(options: argparse.Namespace) -> None:
    from ..reference.onnx_export import export_reference as run
    from ..reference.source import ReferenceSource

    trained = RUNS / "reward.pt"
    reward = options.reward or (trained if trained.exists() else None)
    run(ReferenceSource.load(options.out, options.backbone, reward, grid=options.grid), options.out)
