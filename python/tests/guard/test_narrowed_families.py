"""The denoiser of every supported pipeline computes the same for some of the images as for all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffusion_probe.capture import AttentionCapture
from diffusion_probe.capture.denoiser_calls import DenoiserCall
from diffusion_probe.guard.batch_subset import BatchSubset

from ..capture.family_case import IMAGES, Case
from ..capture.supported_pipelines import CASES


def flat(output: Any) -> torch.Tensor:
    """The first member of an output: a tensor, or a list of them."""
    first = output[0]
    return torch.stack(list(first)) if isinstance(first, list) else first


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fewer_rows_give_the_same_output(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in case.patches.items():
        monkeypatch.setattr(name, value)
    pipe = case.build()
    images = len(case.prompts) * IMAGES
    subset = BatchSubset((0, images - 1), images)
    differences: list[float] = []

    def intercept(call: DenoiserCall, evaluate: Any) -> Any:
        whole = call.evaluate()
        sample = capture.family.sample
        rows = len(call.arguments[sample])
        own = subset.scatter(subset.select(call, sample).evaluate(), rows)
        kept = subset._selected_rows(rows)
        differences.append(float((flat(own)[kept] - flat(whole)[kept]).abs().max()))
        return whole

    capture = AttentionCapture(pipe, steps=[1])
    generator = torch.Generator().manual_seed(0)
    call = {"prompt": list(case.prompts), "num_images_per_prompt": IMAGES, "generator": generator, **case.call}
    capture.prepare((), {**call, "output_type": "latent"}, intercept=intercept).execute()
    assert max(differences, default=1.0) < 1e-4
