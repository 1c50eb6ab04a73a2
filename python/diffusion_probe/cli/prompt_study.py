"""The command `study prompt`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .drawing import (
    OF_A_PIPELINE,
    PIPELINE_HELP,
    REFERENCE_WORLD,
    add_diffusers_options,
    newest_version,
    prompts_in,
    refuse_options,
)
from .options import PROBE_FOLDER, RUNS, add_command, not_negative, positive, positive_count, reference_source
from .prompting import TAU_HELP, add_rewriter_options, rewriter_of, tau_of, tau_option

DOCS = Path("docs")
BATCH, PIPELINE_BATCH = 16, 8
SEEDS = 8
STEPS = 25


def add_prompt_study(studies: Any) -> None:
    text = (
        "compare policies of rewriting: every wording of every prompt is drawn once, and all policies are applied to these images"
    )
    one = add_command(studies, "prompt", _study, text, "--reference", "--backbone", "--reward", "--no-compile")
    one.add_argument("--probe", type=Path, default=PROBE_FOLDER, help="folder of the probe, with trajectories")
    one.add_argument("--split", choices=["calibration", "test"], default="test", help="split that the captions are from")
    one.add_argument("--captions", type=positive_count, default=200, help="how many captions, or prompts of a file")
    text = f"images per wording (default: {SEEDS}, or as many as the plan for --budget starts)"
    one.add_argument("--seeds", type=positive_count, help=text)
    one.add_argument("--candidates", type=positive_count, default=6, help="rewrites per caption at most")
    one.add_argument("--look-step", type=positive_count, help="step of the look (default: the one nearest to a fifth of the run)")
    one.add_argument("--tau", type=tau_option, default="calibration", help=TAU_HELP)
    price = "price of the rewriter's answer in denoiser calls"
    one.add_argument("--rewriter-calls", type=not_negative, default=0.0, help=price)
    one.add_argument("--budget", type=positive, default=2.0, help="whole images' worth of denoiser calls")
    one.add_argument("--batch", type=positive_count, help=f"images at a time (default: {BATCH}; of a pipeline: {PIPELINE_BATCH})")
    one.add_argument("--out", type=Path, default=RUNS / "prompt-study", help="folder of the images and of matrix.json; resumed")
    add_page_options(one, "docs/workflows.json and docs/workflows.md")
    one.add_argument("--pipeline", default=REFERENCE_WORLD, help=PIPELINE_HELP)
    one.add_argument("--prompts", type=Path, help="of a pipeline: text file, one prompt per line, none of the probe's training")
    add_rewriter_options(one)
    add_diffusers_options(one)


def add_page_options(parser: Any, files: str) -> None:
    """Add where a study writes its figures and tables. `files`: both, for the help text."""
    parser.add_argument("--write", action="store_true", help=f"put figures and tables into {files}")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of these two files")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")


def _study(options: argparse.Namespace) -> None:
    from ..data.collect import Worker
    from ..evaluation.studies.workflows import write_workflow
    from ..probe.manifest import read_manifest
    from ..prompting import Wish
    from ..prompting.matrix import MATRIX, score_wordings
    from ..prompting.study import study_prompt
    from ..prompting.study_text import study_text

    probe = newest_version(options.probe)
    manifest = read_manifest(probe)
    options.seeds = _seeds(options.seeds, options.budget, manifest, probe)
    worker = Worker.of_environment()
    is_reference = options.pipeline == REFERENCE_WORLD
    collected = _from_reference(options, manifest, worker) if is_reference else _from_pipeline(options, manifest, worker)
    if worker.world_size > 1:
        return print("One process made its share of the images: run the same command without torchrun for the figures.")
    matrix = score_wordings(options.out, options.split, probe, collected)
    wish = Wish(
        **tau_of(options.tau),
        candidates=options.candidates,
        look_step=options.look_step,
        rewriter_calls=options.rewriter_calls,
    )
    figures = {"pipeline": options.pipeline, "split": options.split, **study_prompt(matrix, probe, wish, options.budget)}
    matrix.write(options.out / MATRIX, figures["look_step"])
    text = study_text(figures)
    if options.write:
        write_workflow(options.docs, "prompt" if is_reference else "pipeline.prompt", figures, text)
    print(text)
    if options.json:
        print(json.dumps(figures))


def _seeds(asked: int | None, budget: float, manifest: dict[str, Any], probe: Path) -> int:
    """Images per wording. Raises ValueError for fewer than the plan for the budget starts, before anything is drawn."""
    from ..planning.within import plan_within
    from ..probe.manifest import total_steps_of

    needed = plan_within(budget * total_steps_of(manifest), manifest, probe).seeds
    if asked is not None and asked < needed:
        raise ValueError(f"--seeds {asked}: the plan for --budget {budget:g} starts {needed}")
    return asked or max(SEEDS, needed)


def _from_reference(options: argparse.Namespace, manifest: dict[str, Any], worker: Any) -> Sequence[Sequence[str]]:
    """Collect the images of captions in the wordings of their grammar: the wordings."""
    from ..data.collect import collect
    from ..reference.wordings import WordingsSource, caption_wordings

    refuse_options(options, (*OF_A_PIPELINE, "prompts", "rewriter"))
    wordings = caption_wordings(options.split, options.captions, options.candidates)
    source = WordingsSource(reference_source(options, not options.no_compile, grid=manifest["capture"]["height"]), wordings)
    counts, seeds = {options.split: sum(map(len, wordings))}, {options.split: options.seeds}
    images = counts[options.split] * options.seeds
    if worker.is_main:
        print(f"{len(wordings)} captions in {counts[options.split]} wordings: {images} images.", flush=True)
    collect(source, options.out, counts, seeds, _steps(manifest), options.batch or BATCH, worker)
    return wordings


def _from_pipeline(options: argparse.Namespace, manifest: dict[str, Any], worker: Any) -> Sequence[Sequence[str]]:
    """Ask for rewrites of a file's prompts and collect the images of all wordings: the wordings."""
    for needed in ("prompts", "metric"):
        if getattr(options, needed) is None:
            raise ValueError(f"--pipeline needs --{needed} too")
    if worker.world_size > 1:
        raise ValueError("the study of a pipeline runs in one process: start it without torchrun")
    rewriter = rewriter_of(options)
    from ..collection.collect import collect_from_source
    from ..collection.source import PipelineSource
    from ..devices import device_named
    from ..metrics.quality import QualityEvaluator
    from ..metrics.registry import load_metric
    from ..pipelines.load import load_pipeline, name_of
    from ..probe.manifest import Metric
    from ..prompting.wordings import WORDINGS, judged_as_given, rewrite_prompts

    device = device_named(options.device or "auto")
    prompts = prompts_in(options.prompts)[: options.captions]
    path = options.out / WORDINGS
    wordings, failure = rewrite_prompts(path, prompts, rewriter, options.candidates, options.rewriter_seconds)
    if failure:
        print(f"Some prompts have no rewrite; the first failure: {failure}", flush=True)
    evaluator = QualityEvaluator(judged_as_given(load_metric(options.metric, str(device)), wordings))
    texts = [text for own in wordings for text in own]
    source = PipelineSource(
        load_pipeline(options.pipeline, device, options.dtype, options.load),
        name_of(options.pipeline),
        {options.split: texts, "train": texts},  # it draws the first one of `train` to see how it captures
        evaluator,
        Metric.from_dict({**manifest["metric"], "name": options.metric}),
        options.steps or STEPS,
        _steps(manifest),
        manifest["capture"]["layers"],
        options.call,
        options.batch or PIPELINE_BATCH,
        (manifest["capture"]["height"], manifest["capture"]["width"]),
    )
    counts, seeds = {options.split: len(texts)}, {options.split: options.seeds}
    batch = options.batch or PIPELINE_BATCH
    collect_from_source(source, evaluator, options.out, counts, seeds, _steps(manifest), batch, worker)
    return wordings


def _steps(manifest: dict[str, Any]) -> list[int]:
    return [point["step"] for point in manifest["decision_points"]]
