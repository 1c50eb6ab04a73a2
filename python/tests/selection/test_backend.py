"""A group whose samples have different prompts: one decision compares them all, and each is drawn as it would be alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.planning.plan import Plan
from diffusion_probe.prompting import PromptOptimizer, Wish
from diffusion_probe.selection.asking import Asking

from ..prompting.made_up import ListRewriter

PROMPTS = ["a cat on the banana", "the banana below a cat with a hat", "a cat on the banana"]
SEEDS = [0, 0, 1]
PATIENT_MS = 60_000.0


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_samples_of_different_prompts_are_one_group(name: str, make_backbone, backend_of, models: Path, count_rows) -> None:
    backbone = make_backbone(name)
    backend = backend_of(backbone)
    alone = [backend.draw([prompt], [seed], None).samples[0].image for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    asking = Asking(backend.family, None, models / name / "1", None, PATIENT_MS)
    questions = asking.questions(asking.info(), Plan(3, ((1, 2), (3, 1))))
    seen = count_rows(backbone)
    drawn = backend.draw(PROMPTS, SEEDS, questions)
    rows = 2 if name == "sd15" else 1  # of an image, with guidance in one batch
    assert [count // rows for count in seen.denoised] == [3, 2, 2, 1]
    assert drawn.failures == ()
    assert sorted(len(sample.judgements) for sample in drawn.samples) == [1, 2, 2]
    scores = [sample.judgements[0].score for sample in drawn.samples]
    assert drawn.samples[scores.index(min(scores))].image is None, "the lowest of all prompts is dropped"
    (kept,) = [index for index, sample in enumerate(drawn.samples) if sample.image is not None]
    images = [np.asarray(image, np.float32) for image in (drawn.samples[kept].image, alone[kept])]
    assert np.abs(images[0] - images[1]).max() <= 1


@pytest.mark.parametrize("tau", [-99.0, 99.0])
def test_a_prompt_is_optimized_with_a_pipeline(tau: float, make_backbone, backend_of, models: Path, count_rows, metric) -> None:
    backbone = make_backbone("flux")
    seen = count_rows(backbone)
    wish = Wish(tau=tau, look_step=1)
    optimizer = PromptOptimizer(
        backend_of(backbone), ListRewriter([PROMPTS[1], "a hat"]), wish, probe=models / "flux" / "1", metric=metric
    )
    answer = optimizer(PROMPTS[0])
    assert answer.outcome == "scored"
    assert answer.calls == sum(seen.denoised)
    if tau < 0:
        assert (answer.decision, answer.calls) == ("good_enough", 4)
        return
    scores = [wording.score for wording in answer.wordings]
    assert answer.decision == "rewritten"
    assert answer.chosen == answer.wordings[scores.index(max(scores))].prompt
    assert answer.calls == 1 + 2 + (4 if answer.original_won else 3)
    assert answer.best.quality == pytest.approx(metric([answer.best.image], [PROMPTS[0]])[0])
