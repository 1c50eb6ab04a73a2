"""What policies of rewriting bring and cost on a matrix of wordings. Needs NumPy alone.

Every policy is applied once with each seed as the first one, and its figures are means over these rotations: arrays [captions].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..planning.plan import Plan
from ..planning.runs import Runs
from ..planning.search import plan_values
from .matrix import Matrix


@dataclass(frozen=True)
class Value:
    """Of one policy."""

    quality: np.ndarray  # [captions]
    calls: np.ndarray  # [captions]: denoiser calls, with the price of the rewriter
    rewritten: float = 0.0  # share of the images for which the rewriter was asked


def as_given(matrix: Matrix) -> Value:
    """One image of the caption as given."""
    quality = matrix.quality[matrix.first].mean(axis=1)
    return Value(quality, np.full(len(quality), float(matrix.total_steps)))


def unseen_rewrite(matrix: Matrix, rewriter_calls: float) -> Value:
    """One image of a rewrite that no probe has seen. A caption without a rewrite is drawn as given."""
    of_row = matrix.quality.mean(axis=1)
    firsts, counts = matrix.first, matrix.counts
    pairs = zip(firsts, counts, strict=True)
    quality = np.array([of_row[first + (count > 1) : first + count].mean() for first, count in pairs])
    return Value(quality, np.full(len(quality), matrix.total_steps + rewriter_calls), 1.0)


def one_image(matrix: Matrix, step: int, tau: float, rewriter_calls: float, oracle: bool = False) -> Value:
    """Rewrite where the score at `step` is below `tau`, and finish the wording with the highest score there.

    As PromptOptimizer without a budget. With a tau of `inf` there is no look: the caption as given is one of the candidates.
    `oracle`: the quality takes the place of the score.
    """
    looks = tau != np.inf
    point, total_steps = matrix.point_index(step), matrix.total_steps
    most = int(matrix.counts.max())
    exists = np.arange(most) < matrix.counts[:, None]
    quality, calls, rewritten = [], [], []
    for rotation in range(matrix.seeds):
        rows, seeds = slots(matrix, most, rotation)
        own = matrix.quality[rows, seeds]
        scores = own if oracle else matrix.scores[rows, seeds, point]
        chosen = np.where(exists, scores, -np.inf).argmax(axis=1)  # of equal scores the caption as given
        below = scores[:, 0] < tau
        won = np.take_along_axis(own, chosen[:, None], axis=1)[:, 0]
        extra = (matrix.counts - 1) * step + rewriter_calls + (step * (chosen == 0) if looks else 0)
        quality.append(np.where(below, won, own[:, 0]))
        calls.append(total_steps + np.where(below, extra, 0.0))
        rewritten.append(below.mean())
    return Value(np.mean(quality, axis=0), np.mean(calls, axis=0), float(np.mean(rewritten)))


def by_plan(matrix: Matrix, plan: Plan, candidates: int, step: int, tau: float, rewriter_calls: float, look_calls: int) -> Value:
    """Deal the samples of a plan to the wordings where the score at `step` is below `tau`, else draw the caption as given.

    As PromptOptimizer with a budget. `look_calls`: what the look costs; 0 where there is none. Raises ValueError for a plan of
    more seeds than were drawn.
    """
    if plan.seeds > matrix.seeds:
        raise ValueError(f"the plan starts {plan.seeds} seeds of a caption: {matrix.seeds} were drawn")
    point = matrix.point_index(step)
    quality, rewritten = [], []
    for rotation in range(matrix.seeds):
        below = matrix.scores[matrix.first, rotation, point] < tau
        given = _planned(matrix, plan, *slots(matrix, plan.seeds, rotation, wordings=1))
        dealt = _planned(matrix, plan, *slots(matrix, plan.seeds, rotation, wordings=1 + candidates))
        quality.append(np.where(below, dealt, given))
        rewritten.append(below)
    share = np.mean(rewritten, axis=0)
    calls = plan.calls(matrix.total_steps) + look_calls + share * rewriter_calls
    return Value(np.mean(quality, axis=0), calls, float(share.mean()))


def slots(matrix: Matrix, count: int, rotation: int, wordings: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows and seeds, each [captions, count]: the wordings of a caption in turn, each time round with the next seed.

    `wordings`: of at most so many wordings.
    """
    present = matrix.counts[:, None] if wordings is None else np.minimum(matrix.counts, wordings)[:, None]
    places = np.arange(count)
    return matrix.first[:, None] + places % present, (rotation + places // present) % matrix.seeds


def _planned(matrix: Matrix, plan: Plan, rows: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """[captions]: the quality of the best image that the plan finishes of these samples."""
    return plan_values(Runs(matrix.points, matrix.total_steps, matrix.scores[rows, seeds], matrix.quality[rows, seeds]), plan)
