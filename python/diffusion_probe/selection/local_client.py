"""Answers the questions of a plan from a probe's folder, without a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..client import SampleResult, ScoredGroup, ScoreFailure
from ..client.requests import InvalidInputError
from ..local import LocalProbe

KEPT, DROPPED = "in_plan", "not_in_plan"


class LocalClient:
    """`score` as that of a ProbeClient, for the policy `plan` with `seeds` and `keep`. It has no calibration and no receipts."""

    def __init__(self, folder: Path):
        """Raises FileNotFoundError if the folder holds no probe."""
        self._probe = LocalProbe(folder)

    def score(
        self,
        attention: np.ndarray,
        timestep: float | np.ndarray,
        *,
        policy: Mapping[str, Any],
        step: int,
        sample_ids: Sequence[str],
        capture_id: str,
        token_mask: np.ndarray | None = None,
        signals: Mapping[str, np.ndarray] | None = None,
        **others: Any,
    ) -> ScoredGroup | ScoreFailure:
        """Keep the best so many samples of the step; of equal scores the first. `others` decide nothing here."""
        manifest = self._probe.manifest
        if capture_id != manifest["capture_id"]:
            error = InvalidInputError("capture_id", capture_id, manifest["capture_id"])
            return ScoreFailure("refused", error=error)
        scores = self._probe.score(attention, timestep, token_mask=token_mask, signals=signals)
        ranks = np.argsort(np.argsort(-scores, kind="stable")) + 1
        keep = policy["keep"].get(str(step), len(scores))
        results = []
        for index, (name, score, rank) in enumerate(zip(sample_ids, scores.tolist(), ranks.tolist(), strict=True)):
            drops = rank > keep
            decision, reason = ("drop", DROPPED) if drops else ("keep", KEPT)
            results.append(SampleResult(index, name, score, None, None, rank, None, drops, None, decision, reason, None))
        return ScoredGroup(manifest["name"], manifest["version"], "cpu", policy, tuple(results))
