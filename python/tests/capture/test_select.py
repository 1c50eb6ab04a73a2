"""The rows of kept samples are taken from everything that goes along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, PNDMScheduler, UniPCMultistepScheduler
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.capture import select
from diffusion_probe.client import Kept


@dataclass
class State:
    embeddings: torch.Tensor
    names: list[str]


class Pair(NamedTuple):
    first: torch.Tensor
    second: Any


def rows(count: int) -> torch.Tensor:
    """Row i holds i."""
    return torch.arange(float(count))[:, None].expand(count, 3).clone()


@given(st.integers(1, 9).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))))
def test_every_value_keeps_its_form(drawn: tuple[int, set[int]]) -> None:
    count, chosen = drawn
    kept = Kept.of(sorted(chosen), count)
    generators = [torch.Generator() for _ in range(count)]
    values = {
        "latents": rows(count),
        "guided": torch.cat([rows(count), rows(count) + 100]),
        "array": rows(count).numpy(),
        "generators": generators,
        "nested": [State(rows(count), [str(index) for index in range(count)]), Pair(rows(count), None)],
        "shared": (3, 0.5, "a text", None, torch.tensor(7.0)),
    }
    selected = select(kept, values)
    assert selected["latents"][:, 0].tolist() == list(kept)
    assert selected["guided"][:, 0].tolist() == [*kept, *(index + 100 for index in kept)]
    assert isinstance(selected["array"], np.ndarray)
    assert selected["array"][:, 0].tolist() == list(kept)
    assert selected["generators"] == [generators[index] for index in kept]
    state, pair = selected["nested"]
    assert state.names == [str(index) for index in kept]
    assert state.embeddings[:, 0].tolist() == pair.first[:, 0].tolist() == list(kept)
    assert selected["shared"] == values["shared"]


def test_one_value_or_several() -> None:
    kept = Kept.of([1], 2)
    assert select(kept, rows(2)).shape == (1, 3)
    assert [part.shape for part in select(kept, rows(2), rows(4))] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, PNDMScheduler])
def test_a_scheduler_goes_on_as_if_the_dropped_rows_had_never_been(kind: type) -> None:
    """Each row's history belongs to it: the rows that remain are those of a run of all rows."""
    torch.manual_seed(0)
    latents, outputs = torch.randn(2, 4, 8, 8), torch.randn(8, 2, 4, 8, 8)
    whole, narrowed = kind(), kind()
    for scheduler in (whole, narrowed):
        scheduler.set_timesteps(8)
    all_rows = some_rows = latents
    kept = Kept.of([1], 2)
    for step, timestep in enumerate(whole.timesteps[:8]):
        all_rows = whole.step(outputs[step], timestep, all_rows).prev_sample
        output = outputs[step] if step < 4 else outputs[step][1:]
        some_rows = narrowed.step(output, timestep, some_rows).prev_sample
        if step == 3:
            some_rows, narrowed = select(kept, some_rows, narrowed)
    assert torch.equal(some_rows[0], all_rows[1])


@pytest.mark.parametrize(("value", "message"), [(rows(3), "3 rows cannot be that of 2"), (object(), "a object has no rows")])
def test_what_has_no_rows_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(Kept.of([0], 2), value)
