"""What `diffusion-probe collect --pipeline` does: load, tell the cost, and collect this process's share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import DiffusionPipeline

from ..data.collect import Share, collect, missing_shards
from ..data.dataset import SPLITS
from ..metrics import Judge, load_metric
from ..probe.manifest import Metric
from .cost import estimate, measure
from .prompts import PromptFile
from .source import PipelineSource

SHARD_PROMPTS = 8  # images of a real backbone are dear: few are lost with a process
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class CollectSettings:
    """What the command line says."""

    pipeline: str
    prompts: Path
    folder: Path
    metric: str
    counts: Mapping[str, int | None]  # per split: prompts at most, None for all
    seeds: Mapping[str, int]
    steps: int = 25
    at: Sequence[int] = (1, 3, 5, 10)
    layers: Sequence[str] | None = None
    batch: int = 8
    name: str | None = None
    metric_range: tuple[float, float] | None = None
    dtype: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)


def collect_from_pipeline(settings: CollectSettings) -> None:
    """Collect this process's share. Raises ValueError and FileNotFoundError for mistakes of the user."""
    splits = PromptFile(settings.prompts).splits
    state = PartialState(cpu=not torch.accelerator.is_available())
    scorer = load_metric(settings.metric, str(state.device))
    judge = Judge(scorer)
    source = PipelineSource(
        load_pipeline(settings, state.device),
        settings.name or backbone_name(settings.pipeline),
        splits,
        judge,
        Metric(settings.metric, settings.metric_range, None),
        settings.steps,
        settings.at,
        settings.layers,
        settings.call,
        settings.batch,
    )
    collect_share(source, settings, splits, judge, Share(state.process_index, state.num_processes))


def collect_share(
    source: PipelineSource, settings: CollectSettings, splits: Mapping[str, Sequence[str]], judge: Judge, share: Share
) -> None:
    """Tell the cost, collect, and tell what failed."""
    counts = {split: min(len(splits[split]), settings.counts.get(split) or len(splits[split])) for split in SPLITS}
    seeds = dict(settings.seeds)
    if share.first:
        missing = missing_shards(source, settings.folder, counts, shard_size=SHARD_PROMPTS)
        samples = sum(len(shard.prompts) * seeds[shard.split] for shard in missing)
        if missing:
            print(estimate(measure(source, missing[0].prompts, settings.at), samples, share.processes), flush=True)
    failed_before = judge.failed
    collect(source, settings.folder, counts, seeds, settings.at, settings.batch, share, SHARD_PROMPTS)
    if judge.failed > failed_before:
        failed = judge.failed - failed_before
        print(f"{failed} images have no quality and will be left out; the first because {judge.first_failure}", flush=True)


def load_pipeline(settings: CollectSettings, device: torch.device) -> Any:
    """The pipeline by diffusers' own loader, on the device."""
    dtype = settings.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    try:
        pipe = DiffusionPipeline.from_pretrained(settings.pipeline, dtype=DTYPES[dtype], **settings.load)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the pipeline {settings.pipeline} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def backbone_name(pipeline: str) -> str:
    """The ID, or of a local folder its name."""
    path = Path(pipeline)
    return path.resolve().name if path.exists() else pipeline
