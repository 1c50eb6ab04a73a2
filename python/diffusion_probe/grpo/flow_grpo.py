"""For github.com/yifan123/flow_grpo: its `pipeline_with_logprob`, with a probe that stops samples.

Its sampling loops have no callback. So they run as they are, and only the calls of the denoiser and of the decoder are narrowed
to the kept rows, as in the guard (docs/adr/0012-guard-narrows-denoiser-calls.md). Outputs keep the rows of the whole batch, which
gathering over ranks and reshaping in the training scripts need.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from ..capture import AttentionCapture, CapturedStep, DenoiserCall
from ..client import Kept
from ..families import family_of
from ..guard.narrowed_run import NarrowedRun
from ..probe.manifest import read_manifest
from ..probe.probe_info import ProbeInfo
from .decision import KeepRule, KeptRows
from .ranks import decide_over_ranks

Score = Callable[..., np.ndarray]


class ProbedSampler:
    """A drop-in for `pipeline_with_logprob`: `*outputs, kept = sampler(pipe, ..., group=prompts, seed=(epoch, batch))`.

    `outputs` are those of the function. Images are of the kept rows only. Latents, log-probabilities and timesteps have all rows:
    in dropped rows they are finite, and no policy's after the decision. Give these rows the advantage 0, as
    `kept.weighted_advantages` does.
    """

    def __init__(
        self,
        pipeline_with_logprob: Callable[..., tuple],
        probe: str | Path | Mapping[str, Any],
        score: Score,
        *,
        step: int | None = None,
        rule: KeepRule | None = None,
        ranks: dist.ProcessGroup | None = None,
    ):
        """`probe`: its folder or manifest. `score`: called as `score(attention, timestep, token_mask=mask)`, returns the scores
        [rows]; `LocalProbe.score` is one. `step`: the decision step, from 1, by default the probe's decision point nearest to a
        fifth of its run. `ranks`: whose samples form the groups, by default all; give it a short timeout. Raises
        FileNotFoundError, and ValueError for a step that is none of the probe's.
        """
        self._sample, self._score, self._rule, self._ranks = pipeline_with_logprob, score, rule or KeepRule(), ranks
        self._manifest = probe if isinstance(probe, Mapping) else read_manifest(Path(probe))
        self._step = None if step is None else (step,)
        points = [point["step"] for point in self._manifest["decision_points"]]
        if step is not None and step not in points:
            raise ValueError(f"step is {step}: the probe scores at {points}")

    def __call__(
        self,
        pipe: Any,
        *args: Any,
        group: Sequence[str],
        seed: int | Sequence[int],
        token_mask: np.ndarray | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """The outputs of the function, then the KeptRows.

        `group`: the prompt of each row. `seed`: of the draws, the same on every rank. `token_mask`: bool [rows, text positions],
        the tokens of the prompt, needed where the prompt is given as embeddings. What the probe cannot score is kept. Raises
        the function's errors, CaptureError for a pipeline without the probe's layers or for unknown tokens, and ValueError for
        another number of rows than prompts.
        """
        info = ProbeInfo.read(self._manifest["name"], self._manifest, family_of(pipe).name)
        capture = AttentionCapture.for_probe(pipe, info.capture, info.choose_steps(self._step))
        decide = functools.partial(decide_over_ranks, self._rule, group=group, seed=seed, ranks=self._ranks)
        run = _SampledRun(capture, self._sample, args, kwargs, token_mask, self._score, decide, len(group))
        run.execute()
        images, *others = run.output
        if run.decided is None:  # the step was not captured: the other ranks wait for the scores of this one
            decide(np.full(len(group), np.nan))
        kept = run.decided or KeptRows.all(len(group), "; ".join(run.missing.values()))
        rows = kept.rows.tolist()
        return images[rows] if hasattr(images, "shape") else [images[row] for row in rows], *others, kept


class _SampledRun(NarrowedRun):
    """One call of `pipeline_with_logprob`."""

    def __init__(
        self,
        capture: AttentionCapture,
        sample: Callable[..., tuple],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        token_mask: np.ndarray | None,
        score: Score,
        decide: Callable[[np.ndarray], KeptRows],
        rows: int,
    ):
        bound = inspect.signature(sample).bind(capture.pipe, *args, **kwargs)
        bound.apply_defaults()
        known = inspect.signature(type(capture.pipe).__call__).parameters
        # The function has further arguments, such as the level of the noise, and its own defaults.
        own = {name: value for name, value in list(bound.arguments.items())[1:] if name in known}
        super().__init__(capture, (), own, token_mask)
        self._generate = functools.partial(sample, capture.pipe, *args, **kwargs)
        self._score, self._decide, self._rows = score, decide, rows
        self._captured: CapturedStep | None = None
        self.decided: KeptRows | None = None

    def on_step(self, captured: CapturedStep) -> None:
        self._captured = captured

    def evaluate(self, call: DenoiserCall) -> Any:
        output = self._evaluate_narrowed(call)
        captured, self._captured = self._captured, None
        if captured is not None and self.decided is None:
            if len(captured.attention) != self._rows:
                raise ValueError(f"group has {self._rows} prompts: expected those of the {len(captured.attention)} rows")
            decided = self._decide(self._scores(captured))
            self.decided = replace(decided, failure=decided.failure or self.missing.get(captured.step))
            if len(self.decided.rows) < self._rows:
                # One row goes on where none is kept: the outputs need their shapes.
                self._keep(Kept.of(self.decided.rows.tolist() or [0], self._rows))
        return output

    def _scores(self, captured: CapturedStep) -> np.ndarray:
        """Of all rows; NaN where the probe fails, so that the other ranks do not wait."""
        try:
            mask = captured.token_mask
            tokens = int(mask.sum(axis=1).max())
            scores = self._score(captured.attention[:, :, :tokens], captured.timestep, token_mask=mask[:, :tokens])
            if np.shape(scores) != (self._rows,):
                raise ValueError(f"scores are {list(np.shape(scores))}: expected one for each of the {self._rows} rows")
            return np.asarray(scores, np.float64)
        except Exception as error:
            self._fail(captured.step, error)
            return np.full(self._rows, np.nan)
