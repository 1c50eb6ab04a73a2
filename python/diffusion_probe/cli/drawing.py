"""What the commands share that draw images of prompts: `select` and `prompt`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .options import A_PIPELINE, METRIC_HELP, add_loading_options, positive, positive_count, reference_source

REFERENCE_WORLD = "pictogram"
PIPELINE_HELP = f"{A_PIPELINE}; or pictogram, the reference world"
OF_A_PIPELINE = ("metric", "steps", "device", "dtype", "call", "load")
OF_THE_REFERENCE = ("reference", "backbone", "reward")


def add_prompt_options(parser: Any, out: Path) -> None:
    """Add what is drawn, by what, and where it is written. `out`: the default folder."""
    parser.add_argument("prompt", nargs="?", help="what to draw")
    parser.add_argument("--prompts", type=Path, help="text file, one prompt per line; what is complete is not drawn again")
    parser.add_argument("--pipeline", default=REFERENCE_WORLD, help=PIPELINE_HELP)
    parser.add_argument("--out", type=Path, default=out, help="folder of the images; of a file, a folder per prompt")
    parser.add_argument("--fresh", action="store_true", help="draw again what is there")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from it")


def add_asking_options(parser: Any) -> None:
    """Add who is asked about the samples."""
    probe = parser.add_argument_group("who is asked")
    probe.add_argument("--service", help="address of the service, such as http://127.0.0.1:8080")
    probe.add_argument("--probe", type=Path, help="folder of a probe; without --service it scores in this process")
    probe.add_argument("--model", help="the service's probe, name or name@version (default: the only one)")
    probe.add_argument("--deadline-ms", type=positive, default=10_000.0, help="longest wait for one answer")


def add_diffusers_options(parser: Any) -> None:
    """Add the options that a pipeline of diffusers alone has."""
    own = parser.add_argument_group("options for a pipeline of diffusers")
    metric = f"{METRIC_HELP} (default: the last score ranks)"
    own.add_argument("--metric", help=metric)
    own.add_argument("--steps", type=positive_count, help="denoising steps of an image (default: 25)")
    own.add_argument("--device", help="auto, cpu or cuda; auto is cuda where it is available (default: auto)")
    add_loading_options(own)


def prompts_of(options: argparse.Namespace) -> tuple[list[str], bool]:
    """The prompts, and whether they are of a file. Raises ValueError for neither, both, and a file without prompts."""
    if (options.prompt is None) == (options.prompts is None):
        raise ValueError("a prompt or --prompts is needed, and not both")
    if options.prompts is None:
        return [options.prompt], False
    return prompts_in(options.prompts), True


def prompts_in(path: Path) -> list[str]:
    """The prompts of a file. Raises FileNotFoundError without it, and ValueError for one without prompts."""
    from ..data.prompts import prompt_lines

    prompts = prompt_lines(path)
    if not prompts:
        raise ValueError(f"{path} holds no prompt")
    return prompts


def refuse_options(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Raises ValueError where one of the options, which a pipeline of diffusers alone has, is given for the reference world."""
    for name in names:
        if getattr(options, name):
            raise ValueError(f"--{name} is for a pipeline of diffusers: the reference world has its own")


def backend_of(options: argparse.Namespace, is_file: bool) -> tuple[Any, Any]:
    """The backend, and the metric that is named."""
    if options.pipeline == REFERENCE_WORLD:
        refuse_options(options, OF_A_PIPELINE)
        from ..reference.selection import ReferenceBackend

        return ReferenceBackend(reference_source(options)), None
    from ..devices import device_named
    from ..metrics.registry import load_metric
    from ..pipelines.load import load_pipeline
    from ..selection.pipeline import STEPS, PipelineBackend

    device = device_named(options.device or "auto")
    metric = None if options.metric is None else load_metric(options.metric, str(device))
    pipe = load_pipeline(options.pipeline, device, options.dtype, options.load)
    pipe.set_progress_bar_config(disable=is_file)  # a file has a bar of its own
    return PipelineBackend(pipe, options.pipeline, options.steps or STEPS, options.call), metric


def client_of(options: argparse.Namespace) -> Any:
    """The client of the service that is named; None without one."""
    if options.service is None:
        return None
    from ..client import ProbeClient

    return ProbeClient(options.service, deadline_ms=options.deadline_ms)


def settings_of(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What decides the images, with the options `names`. Of the service only the name of the probe is known beforehand."""
    own = OF_THE_REFERENCE if options.pipeline == REFERENCE_WORLD else [name for name in OF_A_PIPELINE if name != "device"]
    settings = {name: getattr(options, name) for name in ("pipeline", "first_seed", "model", "probe", *names, *own)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def newest_version(folder: Path) -> Path:
    """The folder, or of a folder of versions that of the highest."""
    versions = [path for path in folder.glob("*/probe.json") if path.parent.name.isdecimal()]
    if (folder / "probe.json").exists() or not versions:
        return folder
    return max(versions, key=lambda path: int(path.parent.name)).parent


def whole_budget(budget: float | None) -> float | int | None:
    """A whole number as such: probes name their plans by it."""
    return int(budget) if budget is not None and budget.is_integer() else budget
