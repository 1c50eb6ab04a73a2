"""The commands `train` and `export`."""

from __future__ import annotations

import argparse

from .options import add_command, add_data_and_checkpoint, add_folder, name_list


def add_training_commands(commands: argparse._SubParsersAction) -> None:
    """Add both."""
    one = add_command(commands, "train", _train, "train a probe on collected samples")
    add_data_and_checkpoint(one)
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

    one = add_command(commands, "export", _export, "write the probe's folder for the service")
    add_data_and_checkpoint(one)
    add_folder(one)
    one.add_argument("--name", default="pictogram", help="name of the probe (default: %(default)s)")
    one.add_argument("--probe-version", type=int, default=1, help="its version (default: %(default)s)")
    one.add_argument(
        "--good-at", type=float, help="quality from which an image counts as good (default: the data set's, else its median)"
    )


def _train(options: argparse.Namespace) -> None:
    from ..devices import device_named
    from ..reference.captions import VOCABULARY
    from ..training.settings import PAPER, TrainSettings
    from ..training.train_probe import train_probe

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


def _export(options: argparse.Namespace) -> None:
    from ..training.export import export_probe

    export_probe(options.data, options.checkpoint, options.folder, options.name, options.probe_version, options.good_at)
