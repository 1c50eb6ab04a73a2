"""The command `collect --pipeline`: load the pipeline, print the cost, and collect the shards of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import DiffusionPipeline

from ..data.collect import Worker, collect, pending_shards
from ..data.dataset import SPLITS
from ..metrics import QualityEvaluator, load_metric
from ..probe.manifest import Metric
from .cost import cost_text, measure_cost
from .prompts import read_prompts
from .source import PipelineSource

SHARD_PROMPTS = 8  # small, since a killed process loses its shard and images of a real backbone are expensive
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class CollectSettings:
    """The options of the command."""

    pipeline: str
    prompts: Path
    folder: Path
    metric: str
    counts: Mapping[str, int | None]  # per split: prompts at most, None for all of the file
    seeds: Mapping[str, int]  # per split: images per prompt
    steps: int
    at: Sequence[int]
    layers: Sequence[str] | None
    batch: int
    name: str | None = None
    metric_range: tuple[float, float] | None = None
    dtype: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)


def collect_from_pipeline(settings: CollectSettings) -> None:
    """Collect this process's shards. Raises ValueError and FileNotFoundError for mistakes of the user."""
    splits = read_prompts(settings.prompts)
    state = PartialState(cpu=not torch.accelerator.is_available())
    worker = Worker(state.process_index, state.num_processes)
    evaluator = QualityEvaluator(load_metric(settings.metric, str(state.device)))
    source = PipelineSource(
        load_pipeline(settings, state.device),
        settings.name or backbone_name(settings.pipeline),
        splits,
        evaluator,
        Metric(settings.metric, settings.metric_range, None),
        settings.steps,
        settings.at,
        settings.layers,
        settings.call,
        settings.batch,
    )
    counts = {split: min(len(splits[split]), settings.counts[split] or len(splits[split])) for split in SPLITS}
    seeds = dict(settings.seeds)
    if worker.is_main:
        pending = pending_shards(source, settings.folder, counts, shard_size=SHARD_PROMPTS)
        samples = sum(len(shard.prompts) * seeds[shard.split] for shard in pending)
        if pending:
            print(cost_text(measure_cost(source, pending[0].prompts, settings.at), samples, worker.world_size), flush=True)
    failed_before = evaluator.failed
    collect(source, settings.folder, counts, seeds, settings.at, settings.batch, worker, SHARD_PROMPTS)
    failed = evaluator.failed - failed_before
    if failed:
        print(f"{failed} images have no quality and will not be used; the first because {evaluator.first_failure}", flush=True)


def load_pipeline(settings: CollectSettings, device: torch.device) -> Any:
    """The pipeline, loaded by diffusers, on the device. Raises ValueError where diffusers cannot load it."""
    dtype = settings.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    try:
        pipe = DiffusionPipeline.from_pretrained(settings.pipeline, dtype=DTYPES[dtype], **settings.load)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the pipeline {settings.pipeline} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def backbone_name(pipeline: str) -> str:
    """The ID of a pipeline, or the name of a local folder."""
    path = Path(pipeline)
    return path.resolve().name if path.exists() else pipeline
