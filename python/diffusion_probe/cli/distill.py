"""The command `distill`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import FIT_OPTIONS, RUNS, add_command, fit_settings, name_list


def add_distill_command(commands: argparse._SubParsersAction) -> None:
    text = "train a small, fast probe from the scores of trained ones, on labelled and unlabelled samples"
    one = add_command(commands, "distill", _distill, text, "--data", *FIT_OPTIONS, "--track", "--device", "--fresh")
    teachers = "folders of probes or checkpoints of train, separated by commas; the mean of their scores is learnt"
    one.add_argument("--teachers", type=_paths, required=True, help=teachers)
    one.add_argument("--checkpoint", type=Path, default=RUNS / "student.pt", help="checkpoint of the student's training")
    one.add_argument("--training-steps", type=int, default=12000, help="optimizer steps")
    one.add_argument("--network", choices=["lean", "full"], default="lean", help="network of the student")
    sizes = "widths such as 16,24,32: trains one student each, and writes the curve of time against accuracy"
    one.add_argument("--sizes", type=_widths, help=f"{sizes} (default: only --width)")
    one.add_argument("--layers", type=name_list, help="captured layers that the student reads (default: all)")
    one.add_argument("--teacher-weight", type=float, default=1.0, help="weight of the teachers' scores beside the true qualities")
    one.add_argument("--batch-prompts", type=int, default=16, help="labelled prompts in a batch")
    one.add_argument("--unlabelled-prompts", type=int, default=32, help="unlabelled prompts in a batch, where there are any")
    patience = "stop after this many checkpoints without a lower loss on held-back prompts; 0 never stops early"
    one.add_argument("--patience", type=int, default=0, help=patience)


def _distill(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from ..devices import device_named
    from ..reference.vocabulary import VOCABULARY
    from ..training.distill import DistillSettings, distill, read_distill_data
    from ..training.size_curve import Student, held_back_figures, size_curve, write_curve

    settings = DistillSettings(
        **fit_settings(options),
        batch_prompts=options.batch_prompts,
        teacher_weight=options.teacher_weight,
        unlabelled_prompts=options.unlabelled_prompts,
    )
    device = device_named(options.device)
    checkpoint = options.checkpoint
    data = read_distill_data(options.data, options.teachers, settings, checkpoint.with_suffix(".teachers"))
    if options.sizes is None:
        distill(data, checkpoint, settings, len(VOCABULARY), device, options.fresh, options.track)
        return
    students = []
    for width in options.sizes:
        own = checkpoint.with_name(f"{checkpoint.stem}-{width}{checkpoint.suffix}")
        network = distill(data, own, replace(settings, width=width), len(VOCABULARY), device, options.fresh, options.track)
        students.append(Student(f"width {width}", network.cpu(), held_back_figures(own)))
    print(write_curve(checkpoint.with_suffix(".sizes.json"), size_curve(students)))


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(",") if part)


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        widths = ()
    if not widths or widths[0] < 1:
        raise argparse.ArgumentTypeError(f"expected widths such as 16,24,32, not {text!r}")
    return widths
