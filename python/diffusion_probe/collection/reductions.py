"""`study attention`: draws some prompts once and summarises their attention by several reductions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import AttentionCapture
from ..capture.ranks import Spread
from ..capture.reduction import AttentionCall, PromptRow, pool, reduce_rows, token_maps
from ..devices import device_named
from ..evaluation.layers.features import map_features
from ..evaluation.layers.reductions import DEFAULT, compare_reductions, reduction_rows, reductions_text
from ..metrics.quality import QualityEvaluator
from ..metrics.registry import load_metric
from ..pipelines.arguments import image_per_prompt, require_free
from ..pipelines.load import load_pipeline
from ..progress import Progress
from .source import require_steps

HALF_GRID, TEXT_TO_IMAGE, MINUS_UNCONDITIONAL = "half the grid", "from text to image", "conditional minus unconditional"
HEADS = "heads"


class Summaries:
    """The `reduce` of an AttentionCapture: keeps summaries of every reduction that a call allows."""

    def __init__(self) -> None:
        self._found: dict[str, list[np.ndarray]] = defaultdict(list)

    @torch.no_grad()
    def __call__(
        self, attention: AttentionCall, rows: Sequence[PromptRow], tokens: int, grid: tuple[int, int], spread: Spread | None
    ) -> Tensor:
        """As reduce_rows, whose maps it returns."""
        mask = np.arange(tokens) < np.array([len(row.keys) for row in rows])[:, None]

        def summary(maps: Tensor) -> np.ndarray:
            return map_features(maps.cpu().numpy()[:, None], mask)[:, 0]

        def reduced(call: AttentionCall, own: Sequence[PromptRow] = rows, size: tuple[int, int] = grid) -> Tensor:
            return reduce_rows(call, own, tokens, size, spread)

        maps = reduced(attention)
        found = {
            DEFAULT: summary(maps),
            HALF_GRID: summary(reduced(attention, size=(grid[0] // 2, grid[1] // 2))),
            HEADS: np.stack([summary(reduced(_one_head(attention, head))) for head in range(attention.query.shape[1])]),
        }
        others = sorted(set(range(len(attention.query))) - {row.row for row in rows})
        if len(others) == len(rows):
            without = [PromptRow(other, row.layout, row.keys) for other, row in zip(others, rows, strict=True)]
            found[MINUS_UNCONDITIONAL] = found[DEFAULT] - summary(reduced(attention, without))
        if rows[0].layout.image.stop - rows[0].layout.image.start < attention.lengths[0]:
            found[TEXT_TO_IMAGE] = summary(_text_to_image(attention, rows, tokens, grid))
        for name, own in found.items():
            self._found[name].append(own)
        return maps

    def take(self, layers: int, steps: int) -> dict[str, np.ndarray]:
        """The summaries since the last time, float32 [layers, steps, images, f]; of HEADS [layers, heads, steps, images, f].

        A reduction that only some calls allow is not among them, nor HEADS where layers have different numbers of heads.
        """
        taken = {}
        for name, calls in self._found.items():
            if len(calls) == layers * steps and len({call.shape for call in calls}) == 1:
                by_step = np.stack(calls).reshape(steps, layers, *calls[0].shape)
                taken[name] = np.moveaxis(by_step, 0, 2 if name == HEADS else 1)
        self._found.clear()
        return taken


def _one_head(attention: AttentionCall, head: int) -> AttentionCall:
    own, mask = slice(head, head + 1), attention.mask
    mask = mask[:, own] if mask is not None and mask.shape[1] > 1 else mask
    return AttentionCall(attention.query[:, own], attention.key[:, own], mask, attention.scale)


def _text_to_image(attention: AttentionCall, rows: Sequence[PromptRow], tokens: int, grid: tuple[int, int]) -> Tensor:
    """How much each token attends to each image position, in joint attention: float16 [rows, tokens, *grid]."""
    maps = torch.zeros(len(rows), tokens, *grid, dtype=torch.float16, device=attention.query.device)
    for index, row in enumerate(rows):
        image = torch.arange(row.layout.image.start, row.layout.image.stop, device=maps.device)
        text = slice(int(row.keys[0]), int(row.keys[-1]) + 1)  # also what stands between the tokens
        to_image = token_maps(attention.row(row.row, text), image).T[torch.from_numpy(row.keys).to(maps.device) - text.start]
        maps[index, : len(row.keys)] = pool(to_image, row.layout.size, grid)
    return maps


def study_attention(
    *,
    pipeline: str,
    prompts: Sequence[str],
    metric: str,
    seeds: int,
    steps: int,
    at: Sequence[int],
    layers: Sequence[str] | None,
    batch: int,
    grid: int,
    dtype: str | None,
    call: Mapping[str, Any],
    load: Mapping[str, Any],
) -> tuple[str, list[dict[str, Any]]]:
    """The table and the rows. The arguments are the options of the command."""
    require_free(call, "the study")
    device = device_named("auto")
    pipe = load_pipeline(pipeline, device, dtype, load)
    evaluator = QualityEvaluator(load_metric(metric, str(device)))
    summaries = Summaries()
    capture = AttentionCapture(pipe, layers, at, (grid, grid), summaries)
    pairs = [(prompt, seed) for prompt in prompts for seed in range(seeds)]
    parts: list[dict[str, np.ndarray]] = []
    quality: list[np.ndarray] = []
    for index in Progress("images", 0, -(-len(pairs) // batch), unit="batch"):
        own_prompts, own_seeds = zip(*pairs[index * batch : (index + 1) * batch], strict=True)
        run = capture(**image_per_prompt(call, own_prompts, own_seeds, steps))
        require_steps(run, pipeline)
        parts.append(summaries.take(len(capture.layers), len(capture.steps)))
        quality.append(evaluator(run.output.images, own_prompts))
    judged = np.concatenate(quality).reshape(len(prompts), seeds)
    known = np.isfinite(judged).all(axis=1)
    joined = _joined(parts, lambda values: values.reshape(*values.shape[:-2], len(prompts), seeds, values.shape[-1]))
    features = {name: values[..., known, :, :] for name, values in joined.items()}
    rows = reduction_rows(compare_reductions(features, features.pop(HEADS, None), judged[known]), capture.steps)
    return reductions_text(rows, int(known.sum()), seeds), rows


def _joined(parts: list[dict[str, np.ndarray]], grouped: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """The summaries of all batches, by reduction, with prompts and seeds on axes of their own."""
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: grouped(np.concatenate([part[name] for part in parts], axis=-2)) for name in names}
