"""The command `collect --pipeline`: load the pipeline, estimate and print the cost, and collect the shards of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from ..data.collect import Worker, collect, pending_shards
from ..data.cost import cost_text, measure_cost
from ..data.dataset import SPLITS
from ..data.prompts import read_prompts
from ..evaluation.layers.choice import choice_text
from ..metrics.quality import QualityEvaluator
from ..metrics.registry import load_metric, user_function
from ..pipelines.load import load_pipeline, name_of
from ..probe.manifest import Metric
from .pilot import ALL_LAYERS, AUTO, SHARD_PROMPTS, Pilot
from .source import PipelineSource


def collect_from_pipeline(
    *,
    pipeline: str,
    prompts: Path,
    folder: Path,
    metric: str,
    counts: Mapping[str, int | None],
    seeds: dict[str, int],
    steps: int,
    at: Sequence[int],
    layers: Sequence[str] | None,
    layer_prompts: int,
    most_layers: int,
    batch: int,
    name: str | None,
    metric_range: tuple[float, float] | None,
    dtype: str | None,
    call: Mapping[str, Any],
    load: Mapping[str, Any],
    grid: int,
    baselines: bool,
    subjects: str | None,
) -> None:
    """Collect the shards of this process. The arguments are the options of the command.

    Per split, `counts` are the most prompts, None for all, and `seeds` the images per prompt. `layers` AUTO chooses at most
    `most_layers` from what `layer_prompts` prompts say of all layers. Raises ValueError and
    FileNotFoundError for mistakes of the user.
    """
    splits = read_prompts(prompts)
    state = PartialState(cpu=not torch.accelerator.is_available())
    pipe = load_pipeline(pipeline, state.device, dtype, load)
    evaluator = QualityEvaluator(load_metric(metric, str(state.device)))
    own = Metric(metric, metric_range, None)
    known = {split: min(len(splits[split]), counts[split] or len(splits[split])) for split in SPLITS}
    worker = Worker(state.process_index, state.num_processes)

    def source_of(some: Sequence[str] | None) -> PipelineSource:
        return PipelineSource(
            pipe,
            name or name_of(pipeline),
            splits,
            evaluator,
            own,
            steps,
            at,
            some,
            call,
            batch,
            (grid, grid),
            baselines,
            None if subjects is None else user_function(subjects, "function of --subjects"),
        )

    if layers == AUTO:
        pilot = Pilot(folder, known["train"], seeds, at, layer_prompts, most_layers, worker)
        if not pilot.is_chosen:
            source = source_of(ALL_LAYERS)
            if worker.is_main:
                print(pilot.announcement(source), flush=True)
            collect_from_source(source, evaluator, pilot.folder, pilot.counts, seeds, at, batch, worker)
            pilot.choose(source)
        layers = pilot.chosen().kept
        if worker.is_main:
            print(choice_text(pilot.chosen()), flush=True)
    collect_from_source(source_of(layers), evaluator, folder, known, seeds, at, batch, worker)


def collect_from_source(
    source: PipelineSource,
    evaluator: QualityEvaluator,
    folder: Path,
    counts: dict[str, int],
    seeds: dict[str, int],
    at: Sequence[int],
    batch: int,
    worker: Worker,
) -> None:
    """Say what it will cost, then collect the shards of this process. `evaluator`: that of the source."""
    if worker.is_main:
        pending = pending_shards(source, folder, counts, shard_size=SHARD_PROMPTS)
        samples = sum(len(shard.prompts) * seeds[shard.split] for shard in pending)
        if pending:
            print(cost_text(measure_cost(source, pending[0].prompts, at), samples, worker.world_size), flush=True)
    failed_before = evaluator.failed
    collect(source, folder, counts, seeds, at, batch, worker, SHARD_PROMPTS)
    failed = evaluator.failed - failed_before
    if failed:
        print(f"{failed} images have no quality and will not be used; the first because {evaluator.first_failure}", flush=True)
