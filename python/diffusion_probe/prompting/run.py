"""Optimizes one prompt or a file of prompts, resumed where it was stopped, and says what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..selection import Backend
from ..selection.run import best_of, failed_open, known_qualities, run_prompts
from .optimizer import PromptOptimizer
from .record import RECORD, write_optimization


def optimize_prompts(
    optimizer: PromptOptimizer,
    rewriter: str,
    backend: Backend,
    prompts: Sequence[str],
    folders: Sequence[Path],
    settings: Mapping[str, Any],
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """Optimize each prompt that has no complete folder, and return every `prompt.json`. See selection.run.run_prompts.

    `rewriter`: its name.
    """

    def optimize(prompt: str, folder: Path, own: Mapping[str, Any]) -> dict[str, Any]:
        return write_optimization(optimizer(prompt), rewriter, folder, own)

    return run_prompts("prompt", RECORD, optimize, backend, prompts, folders, settings, fresh)


def prompt_summary(records: Sequence[Mapping[str, Any]], out: Path) -> str:
    """What was decided, what was chosen and what it took, for a terminal."""
    lines = [_one(records[0], out)] if len(records) == 1 else [_many(records, out)]
    failed = [record for record in records if record["rewriter"]["outcome"] == "failed"]
    if failed:
        what = f"the rewriter failed for {len(failed)} of {len(records)}, whose prompts went on as given"
        lines.append(f"{what}; the first: {failed[0]['rewriter']['failure']}")
    return "\n".join([*lines, *failed_open(records)])


def _one(record: Mapping[str, Any], out: Path) -> str:
    best, look, tau = best_of(record), record["look"], record["tau"]
    lines = [f"{out / best['image']}: seed {best['seed']}{_known(' quality', best['quality'])}"]
    if look is not None and look["score"] is not None:
        lines.append(f"the prompt as given: score {look['score']:.3f} at step {look['step']}, tau {tau['value']}")
    drawn = [wording for wording in record["wordings"] if wording["samples"]]
    for wording in drawn[1:] and drawn:
        mark = "*" if wording["prompt"] == record["chosen"] else " "
        lines.append(f"{mark} {wording['prompt']}{_known(' score', wording['score'])}{_known(' quality', wording['quality'])}")
    who = "the prompt as given" if record["original_won"] else f"the rewrite {record['chosen']!r}"
    lines.append(
        f"{record['decision']}: the best image is of {who}; {record['calls']:g} denoiser calls, {record['seconds']:.2f} s"
    )
    return "\n".join(lines)


def _many(records: Sequence[Mapping[str, Any]], out: Path) -> str:
    decisions = Counter(record["decision"] for record in records)
    qualities = known_qualities(records)
    won = sum(not record["original_won"] for record in records)
    parts = [
        f"{out}: {len(records)} prompts",
        ", ".join(f"{count} {decision}" for decision, count in decisions.most_common()),
        f"a rewrite won {won}",
        *([f"mean quality {np.mean(qualities):.3f}"] if qualities else []),
        f"{np.mean([record['calls'] for record in records]):.4g} denoiser calls and "
        f"{np.mean([record['seconds'] for record in records]):.2f} s a prompt",
    ]
    return "; ".join(parts)


def _known(name: str, value: float | None) -> str:
    return "" if value is None else f",{name} {value:.3f}"
