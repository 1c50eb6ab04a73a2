"""Run by each rank: maps of spread attention and decisions of a spread group, against those of one rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from diffusion_probe.capture import ObservedStep, Spread, attention_maps
from diffusion_probe.client import SampleResult, ScoredGroup, ScoreFailure
from diffusion_probe.guard import RankedGroup

torch.set_num_threads(1)
TEXT, HEADS, SIZE = [1, 3, 4], 4, (4, 8)
ROUNDING = 1e-5


class BestHalf:
    """Keeps the better half by the first element of each sample's maps."""

    asked = 0

    def score(self, attention: np.ndarray, timestep: float, **options: Any) -> ScoredGroup | ScoreFailure:
        self.asked += 1
        if options["step"] == 3:
            return ScoreFailure("network")
        if options["step"] == 4:
            raise ValueError("a mistake of the caller")
        scores = attention[:, 0, 0, 0, 0].astype(float)
        best = set(np.argsort(-scores)[: len(scores) // 2])
        decisions = ["keep" if row in best else "drop" for row in range(len(scores))]
        results = (
            SampleResult(row, None, scores[row], None, None, 1, None, decision == "drop", None, decision, "", None)
            for row, decision in enumerate(decisions)
        )
        return ScoredGroup("own", 1, "cpu", {"name": "top_k"}, tuple(results))


def check_attention(rank: int, ranks: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, HEADS, 32, 8, generator=generator), torch.randn(2, HEADS, 7, 8, generator=generator)
    whole = attention_maps(query, key, TEXT, size=SIZE, grid=(2, 4))
    heads = slice(rank * HEADS // ranks, (rank + 1) * HEADS // ranks)
    places = slice(rank * 32 // ranks, (rank + 1) * 32 // ranks)
    by_heads = attention_maps(query[:, heads], key[:, heads], TEXT, size=SIZE, grid=(2, 4), spread=Spread("heads"))
    by_places = attention_maps(query[:, :, places], key, TEXT, size=SIZE, grid=(2, 4), spread=Spread("positions"))
    for maps in (by_heads, by_places):
        # Both are rounded to float16, whose step is 1.2e-4 below 0.25.
        assert (maps.float() - whole.float()).abs().max() <= 1.3e-4
    parts = [torch.rand(3, 32 // ranks, generator=torch.Generator().manual_seed(index)) for index in range(ranks)]
    own = parts[rank]
    assert (Spread("positions").complete(own) - torch.cat(parts, 1)).abs().max() <= ROUNDING
    assert (Spread("heads").complete(own) - torch.stack(parts).mean(0)).abs().max() <= ROUNDING


def observed(values: list[float]) -> ObservedStep:
    attention = np.array(values, np.float16).reshape(-1, 1, 1, 1, 1)
    return ObservedStep(attention, (), np.ones((len(values), 1), np.uint8), "0123456789abcdef", "own@1")


def check_group(rank: int, ranks: int) -> None:
    """Rank r has r + 1 samples, with values that grow with the rank: the last ranks keep theirs."""
    values = [rank + 0.1 * index for index in range(rank + 1)]
    everyone = [other + 0.1 * index for other in range(ranks) for index in range(other + 1)]
    client = BestHalf()
    group = RankedGroup(client, len(values))
    kept = group.decide(observed(values), step=1, timestep=900.0)
    best = sorted(everyone)[-(len(everyone) // 2) :]
    assert [values[index] for index in kept] == [value for value in values if value in best]
    assert group.remaining == tuple(kept)
    values = [values[index] for index in kept]
    assert group.sizes[rank] == len(values)
    assert tuple(group.decide(observed(values), step=3, timestep=800.0)) == tuple(range(len(values))), "a failure keeps all"
    assert (client.asked, len(group.outcomes)) == ((2, 2) if rank == 0 else (0, 0))
    with pytest.raises(RuntimeError, match="a mistake of the caller"):  # on every rank
        group.decide(observed(values), step=4, timestep=700.0)
    unseen = ObservedStep(None, ("one",), np.ones((0, 1), np.uint8), "0123456789abcdef", "own@1")
    kept = group.decide(unseen if rank == ranks - 1 else observed(values), step=5, timestep=600.0)
    assert len(kept) == len(values), "one rank that saw nothing keeps all"


def main() -> None:
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    check_attention(rank, ranks)
    check_group(rank, ranks)
    print("as one rank", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
