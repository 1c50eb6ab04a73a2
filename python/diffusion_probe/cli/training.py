"""The commands `train` and `export`."""

from __future__ import annotations

import argparse

from .options import FIT_OPTIONS, add_command, fit_settings, name_list, positive_count


def add_training_commands(commands: argparse._SubParsersAction) -> None:
    shared = ("--data", "--checkpoint", *FIT_OPTIONS, "--track", "--device", "--fresh")
    one = add_command(commands, "train", _train, "train a probe on collected samples", *shared)
    one.add_argument("--training-steps", type=int, default=6000, help="optimizer steps, one batch each")
    one.add_argument("--layers", type=name_list, help="captured layers that the probe reads (default: all)")
    network = "full, or lean: attention and timestep alone, in a fraction of the time"
    one.add_argument("--network", choices=["full", "lean"], default="full", help=f"{network} (default: full)")
    one.add_argument("--ranking-weight", type=float, help="weight of the ranking loss (default: 0.3; of the preset paper: 0)")
    mirror = "probability to mirror the maps of a prompt that names no side (default: 0.5; of the preset paper: 0)"
    one.add_argument("--mirror", type=float, help=mirror)
    prompts = "train on the first so many prompts of the train split, the held-back tenth included (default: all)"
    one.add_argument("--prompts", type=positive_count, help=prompts)
    preset = "ours: ranking within prompts; paper: as published (default: ours)"
    one.add_argument("--preset", choices=["ours", "paper"], default="ours", help=preset)
    patience = (
        "stop after this many checkpoints (500 steps each) without a lower loss on the held-back tenth of the prompts, and keep"
    )
    one.add_argument("--patience", type=int, default=0, help=f"{patience} the best one; 0 never stops early")

    text = "write a trained probe to a folder that the service loads"
    one = add_command(commands, "export", _export, text, "--data", "--checkpoint", "--folder")
    one.add_argument("--name", default="pictogram", help="name of the probe")
    one.add_argument("--probe-version", type=int, default=1, help="version of the probe")
    good_at = "quality from which an image counts as good (default: that of the data set, else the median of the train split)"
    one.add_argument("--good-at", type=float, help=good_at)
    int8 = "convolutions of int8: faster on processors with VNNI, with scores that differ slightly"
    one.add_argument("--int8", action="store_true", help=int8)


def _train(options: argparse.Namespace) -> None:
    from ..devices import device_named
    from ..reference.vocabulary import VOCABULARY
    from ..training.settings import PAPER, TrainSettings
    from ..training.train_probe import train_probe

    preset = PAPER if options.preset == "paper" else {}
    if options.ranking_weight is not None:
        preset = {**preset, "ranking_weight": options.ranking_weight}
    if options.preset == "paper" and options.mirror:
        raise ValueError("--mirror changes whole prompts, and the preset paper draws single samples")
    if options.mirror is not None:
        preset = {**preset, "mirror_share": options.mirror}
    settings = TrainSettings(**fit_settings(options), **preset)
    device = device_named(options.device)
    vocabulary = len(VOCABULARY)
    train_probe(options.data, options.checkpoint, settings, vocabulary, device, options.fresh, options.track, options.prompts)


def _export(options: argparse.Namespace) -> None:
    from ..training.export import export_probe

    export_probe(
        options.data,
        options.checkpoint,
        options.folder,
        options.name,
        options.probe_version,
        good_at=options.good_at,
        int8=options.int8,
    )
