"""The denoiser of every supported pipeline computes the same for some of the images as for all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffusion_probe.capture import AttentionCapture, CaptureRun, DenoiserCall
from diffusion_probe.client import Kept
from diffusion_probe.families import family_of
from diffusion_probe.guard.batch_rows import narrowed, rows_of, widened

from ..families.family_case import IMAGES, Case
from ..families.supported_pipelines import CASES


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
    family, images = family_of(pipe), len(case.prompts) * IMAGES
    kept = Kept.of([0, images - 1], images)
    differences: list[float] = []

    class Compared(CaptureRun):
        def evaluate(self, call: DenoiserCall) -> Any:
            whole = call.evaluate()
            rows = len(call.arguments[family.sample])
            own = widened(narrowed(call, family.sample, kept).evaluate(), kept, rows)
            selected = rows_of(kept, rows)
            differences.append(float((flat(own)[selected] - flat(whole)[selected]).abs().max()))
            return whole

    generator = torch.Generator().manual_seed(0)
    call = {"prompt": list(case.prompts), "num_images_per_prompt": IMAGES, "generator": generator, **case.call}
    Compared(AttentionCapture(pipe, steps=[1]), (), {**call, "output_type": "latent"}).execute()
    assert max(differences, default=1.0) < 1e-4
