"""The command `select`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import RUNS, add_command, add_loading_options, positive, positive_count, reference_source

REFERENCE_WORLD = "pictogram"
OF_A_PIPELINE = ("metric", "steps", "device", "dtype", "call", "load")


def add_select_command(commands: argparse._SubParsersAction) -> None:
    text = "draw several seeds of a prompt, drop some on the way by their scores, finish the others and rank them"
    one = add_command(commands, "select", _select, text, "--reference", "--backbone", "--reward")
    one.add_argument("prompt", nargs="?", help="what to draw")
    one.add_argument("--prompts", type=Path, help="text file, one prompt per line; what is complete is not drawn again")
    pipeline = "ID or local folder of a pipeline of diffusers, or pictogram, the reference world"
    one.add_argument("--pipeline", default=REFERENCE_WORLD, help=pipeline)
    one.add_argument("--out", type=Path, default=RUNS / "select", help="folder of the images; of a file, a folder per prompt")
    one.add_argument("--fresh", action="store_true", help="draw again what is there")
    plan = one.add_argument_group("what to draw for", "One of --budget, --seeds with --keep, and --best-of.")
    plan.add_argument("--budget", type=positive, help="whole images' worth of denoiser calls, by the probe's plan for it")
    plan.add_argument("--seeds", type=positive_count, help="how many seeds to start")
    plan.add_argument("--keep", type=_keep, help="how many to keep after which steps, such as 1=7,3=6,5=2")
    plan.add_argument("--best-of", type=positive_count, metavar="K", help="finish K seeds without a question")
    plan.add_argument("--first-seed", type=int, default=0, help="seeds count from it")
    probe = one.add_argument_group("who is asked")
    probe.add_argument("--service", help="address of the service, such as http://127.0.0.1:8080")
    probe.add_argument("--probe", type=Path, help="folder of a probe; without --service it scores in this process")
    probe.add_argument("--model", help="the service's probe, name or name@version (default: the only one)")
    probe.add_argument("--deadline-ms", type=positive, default=10_000.0, help="longest wait for one answer")
    own = one.add_argument_group("options for a pipeline of diffusers")
    metric = "imagereward, hpsv2, clip, aesthetic, pickscore, or module:function of your own (default: the last score ranks)"
    own.add_argument("--metric", help=metric)
    own.add_argument("--steps", type=positive_count, help="denoising steps of an image (default: 25)")
    own.add_argument("--device", help="auto, cpu or cuda; auto is cuda where it is available (default: auto)")
    add_loading_options(own)


def _select(options: argparse.Namespace) -> None:
    if (options.prompt is None) == (options.prompts is None):
        raise ValueError("a prompt or --prompts is needed, and not both")
    plan = _plan(options)
    asks = options.best_of is None
    if asks and options.service is None and options.probe is None:
        raise ValueError("--service or --probe is needed, to ask about the seeds; or --best-of, which asks no probe")
    from ..data.prompts import prompt_lines
    from ..selection import Selector
    from ..selection.run import folders_of, select_prompts, summary

    is_file = options.prompts is not None
    prompts = prompt_lines(options.prompts) if is_file else [options.prompt]
    if not prompts:
        raise ValueError(f"{options.prompts} holds no prompt")
    folders = folders_of(options.out, prompts, is_file)
    backend, metric = _backend(options, is_file)
    client = _client(options) if asks else None
    selector = Selector(
        backend,
        plan,
        client=client,
        probe=_newest_version(options.probe) if asks and options.probe else None,
        model=options.model,
        metric=metric,
        first_seed=options.first_seed,
        deadline_ms=options.deadline_ms,
    )
    try:
        records = select_prompts(selector, backend, prompts, folders, _settings(options), options.fresh)
    finally:
        if client is not None:
            client.close()
    print(summary(records, options.out))


def _plan(options: argparse.Namespace) -> Any:
    """A budget or a plan."""
    from ..planning.plan import Plan

    given = [name for name in ("budget", "seeds", "best_of") if getattr(options, name) is not None]
    if len(given) != 1 or (options.keep is None) != (options.seeds is None):
        raise ValueError("what to draw for is not clear: expected one of --budget, --seeds with --keep, and --best-of")
    if options.budget is not None:
        return int(options.budget) if options.budget.is_integer() else options.budget
    return Plan(options.best_of) if options.keep is None else Plan(options.seeds, options.keep)


def _backend(options: argparse.Namespace, is_file: bool) -> tuple[Any, Any]:
    """The backend, and the metric that is named."""
    if options.pipeline == REFERENCE_WORLD:
        for name in OF_A_PIPELINE:
            if getattr(options, name):
                raise ValueError(f"--{name} is for a pipeline of diffusers: the reference world has its own")
        from ..reference.selection import ReferenceBackend

        return ReferenceBackend(reference_source(options)), None
    from ..devices import device_named
    from ..metrics.registry import load_metric
    from ..pipelines.collect import load_pipeline
    from ..selection.pipeline import STEPS, PipelineBackend

    device = device_named(options.device or "auto")
    metric = None if options.metric is None else load_metric(options.metric, str(device))
    pipe = load_pipeline(options.pipeline, device, options.dtype, options.load)
    pipe.set_progress_bar_config(disable=is_file)  # a file has a bar of its own
    return PipelineBackend(pipe, options.pipeline, options.steps or STEPS, options.call), metric


def _client(options: argparse.Namespace) -> Any:
    if options.service is None:
        return None
    from ..client import ProbeClient

    return ProbeClient(options.service, deadline_ms=options.deadline_ms)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What decides the images. Of the service only the name of the probe is known beforehand."""
    names = ["pipeline", "budget", "seeds", "best_of", "first_seed", "model", "probe"]
    own = ["reference", "backbone", "reward"] if options.pipeline == REFERENCE_WORLD else list(OF_A_PIPELINE)
    settings = {name: getattr(options, name) for name in [*names, *own] if name != "device"}
    keep = options.keep and {str(step): count for step, count in options.keep}
    return {**{name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}, "keep": keep}


def _newest_version(folder: Path) -> Path:
    """The folder, or of a folder of versions that of the highest."""
    versions = [path for path in folder.glob("*/probe.json") if path.parent.name.isdecimal()]
    if (folder / "probe.json").exists() or not versions:
        return folder
    return max(versions, key=lambda path: int(path.parent.name)).parent


def _keep(text: str) -> tuple[tuple[int, int], ...]:
    """Parse counts by step; steps ascending."""
    try:
        pairs = [tuple(int(part) for part in item.split("=")) for item in text.split(",")]
        return tuple(sorted((step, count) for step, count in pairs))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected step=count, separated by commas, such as 1=7,3=6,5=2, not {text!r}") from None
