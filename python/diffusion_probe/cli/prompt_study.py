"""The command `study prompt`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .drawing import newest_version
from .options import PROBE_FOLDER, RUNS, add_command, not_negative, positive, positive_count, reference_source
from .prompting import TAU_HELP, tau_of, tau_option

DOCS = Path("docs")


def add_prompt_study(studies: Any) -> None:
    text = "compare policies of rewriting on captions of the reference world: every wording is drawn once, for all of them"
    one = add_command(studies, "prompt", _study, text, "--reference", "--backbone", "--reward", "--no-compile")
    one.add_argument("--probe", type=Path, default=PROBE_FOLDER, help="folder of the probe, with trajectories")
    one.add_argument("--split", choices=["calibration", "test"], default="test", help="split that the captions are from")
    one.add_argument("--captions", type=positive_count, default=200, help="how many captions")
    one.add_argument("--seeds", type=positive_count, default=8, help="images per wording")
    one.add_argument("--candidates", type=positive_count, default=6, help="rewrites per caption at most")
    one.add_argument("--look-step", type=positive_count, help="step of the look (default: the one nearest to a fifth of the run)")
    one.add_argument("--tau", type=tau_option, default="calibration", help=TAU_HELP)
    price = "price of the rewriter's answer in denoiser calls"
    one.add_argument("--rewriter-calls", type=not_negative, default=0.0, help=price)
    one.add_argument("--budget", type=positive, default=2.0, help="whole images' worth of denoiser calls")
    one.add_argument("--batch", type=positive_count, default=16, help="images at a time")
    one.add_argument("--out", type=Path, default=RUNS / "prompt-study", help="folder of the images and of matrix.json; resumed")
    one.add_argument("--write", action="store_true", help="put figures and tables into docs/workflows.json and docs/workflows.md")
    one.add_argument("--docs", type=Path, default=DOCS, help="folder of these two files")
    one.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")


def _study(options: argparse.Namespace) -> None:
    from ..data.collect import Worker, collect
    from ..evaluation.studies.workflows import write_workflow
    from ..probe.manifest import read_manifest
    from ..prompting import Wish
    from ..prompting.matrix import MATRIX, score_wordings
    from ..prompting.study import study_prompt
    from ..prompting.study_text import study_text
    from ..reference.wordings import WordingsSource, caption_wordings

    probe = newest_version(options.probe)
    manifest = read_manifest(probe)
    steps = [point["step"] for point in manifest["decision_points"]]
    wordings = caption_wordings(options.split, options.captions, options.candidates)
    source = WordingsSource(reference_source(options, not options.no_compile, grid=manifest["capture"]["height"]), wordings)
    counts, seeds = {options.split: sum(map(len, wordings))}, {options.split: options.seeds}
    total = counts[options.split] * options.seeds
    print(f"{len(wordings)} captions in {counts[options.split]} wordings, {total} images in all.", flush=True)
    worker = Worker.of_environment()
    collect(source, options.out, counts, seeds, steps, options.batch, worker)
    if worker.world_size > 1:
        return print("One process made its share of the images: run the same command without torchrun for the figures.")
    matrix = score_wordings(options.out, options.split, probe, wordings)
    wish = Wish(
        **tau_of(options.tau),
        candidates=options.candidates,
        look_step=options.look_step,
        rewriter_calls=options.rewriter_calls,
    )
    figures = {"split": options.split, **study_prompt(matrix, probe, wish, options.budget)}
    matrix.write(options.out / MATRIX, figures["look_step"])
    text = study_text(figures)
    if options.write:
        write_workflow(options.docs, "prompt", figures, text)
    print(text)
    if options.json:
        print(json.dumps(figures))
