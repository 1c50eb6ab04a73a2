"""A selection on tiny pipelines: the images are those of the pipeline alone, and every failure of the service keeps images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diffusion_probe.client import ProbeClient, ScoreFailure
from diffusion_probe.pipelines.arguments import noise_generator
from diffusion_probe.planning.plan import Plan
from diffusion_probe.selection import Selector, select
from diffusion_probe.selection.local_client import LocalClient

PROMPT = "a cat on the banana"
BUDGET, PLAN = 2.5, Plan(4, ((1, 3), (3, 1)))  # as in the probes of these pipelines
TWO_SURVIVE = Plan(4, ((1, 3), (3, 2)))
PATIENT_MS = 60_000.0


class Answering:
    """A client that fails at some steps."""

    def __init__(self, client: Any, *failing: int):
        self._client, self._failing = client, failing

    def models(self, **options: Any) -> Any:
        return self._client.models(**options)

    def score(self, *args: Any, step: int, **options: Any) -> Any:
        return ScoreFailure("network") if step in self._failing else self._client.score(*args, step=step, **options)


def selector_of(backend: Any, plan: float | Plan, client: Any, model: str, **options: Any) -> Selector:
    return Selector(backend, plan, client=client, model=model, deadline_ms=PATIENT_MS, **options)


def whole_images(backbone: Any, seeds: range) -> list[np.ndarray]:
    """The images of the pipeline alone."""
    generators = [noise_generator(PROMPT, seed) for seed in seeds]
    images = backbone(prompt=PROMPT, images=len(seeds), generator=generators, output_type="pil")
    return [np.asarray(image, np.float32) for image in images]


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_the_plan_of_a_budget_is_executed(name: str, make_backbone, backend_of, client, count_rows) -> None:
    backbone = make_backbone(name)
    expected = whole_images(backbone, range(4))
    seen = count_rows(backbone)
    selection = selector_of(backend_of(backbone), BUDGET, client, name)(PROMPT)
    assert (selection.outcome, selection.model, selection.budget, selection.plan) == ("scored", f"{name}@1", BUDGET, PLAN)
    rows = 2 if name == "sd15" else 1  # of an image, with guidance in one batch
    assert [count // rows for count in seen.denoised] == [4, 3, 3, 1]
    assert selection.calls == sum(seen.denoised) // rows == PLAN.calls(4)
    assert [(stage.first_step, stage.last_step, stage.samples) for stage in selection.stages] == [(1, 1, 4), (2, 3, 3), (4, 4, 1)]
    assert all(stage.seconds > 0 for stage in selection.stages)
    assert sorted(sample.dropped_at or 0 for sample in selection.samples) == [0, 1, 3, 3]
    assert np.abs(np.asarray(selection.best.image, np.float32) - expected[selection.best.seed]).max() <= 1
    assert selection.expected is not None
    assert selection.ranked_by == "score"


def test_survivors_are_ranked_by_the_metric_else_by_the_last_score(make_backbone, backend_of, client, metric) -> None:
    backend = backend_of(make_backbone("flux"))
    by_metric = selector_of(backend, TWO_SURVIVE, client, "flux", metric=metric)(PROMPT)
    by_score = selector_of(backend, TWO_SURVIVE, client, "flux")(PROMPT)
    assert (by_metric.ranked_by, by_score.ranked_by) == ("metric", "score")
    measured = metric([sample.image for sample in by_metric.finished], [PROMPT] * 2)
    assert [sample.quality for sample in by_metric.finished] == pytest.approx(sorted(measured, reverse=True))
    assert [sample.score for sample in by_score.finished] == sorted([sample.score for sample in by_metric.finished], reverse=True)
    assert all(sample.quality is None for sample in by_score.samples)


def test_an_image_on_which_the_metric_fails_ranks_behind(make_backbone, backend_of) -> None:
    def failing(images, prompts):
        return [float("nan") if len(images) > 1 and index == 0 else 0.1 * index for index in range(len(images))]

    selection = Selector(backend_of(make_backbone("flux")), Plan(3), metric=failing)(PROMPT)
    assert [sample.seed for sample in selection.finished] == [2, 1, 0]
    assert selection.samples[0].quality is None


def test_plain_best_of_k_asks_nobody(make_backbone, backend_of, metric) -> None:
    backbone = make_backbone("sd15")
    selection = Selector(backend_of(backbone), Plan(3), metric=metric, first_seed=5)(PROMPT)
    assert (selection.outcome, selection.model, selection.calls) == ("not_asked", None, 12)
    assert [sample.seed for sample in selection.samples] == [5, 6, 7]
    for sample, expected in zip(selection.samples, whole_images(backbone, range(5, 8)), strict=True):
        assert np.array_equal(np.asarray(sample.image, np.float32), expected)


@pytest.mark.parametrize(("plan", "seeds"), [(BUDGET, 2), (PLAN, 4)], ids=["budget", "written out"])
def test_without_a_service_everything_is_kept(plan, seeds: int, make_backbone, backend_of, metric) -> None:
    """A budget buys so many whole images."""
    with ProbeClient("http://127.0.0.1:9") as dead:
        selection = Selector(backend_of(make_backbone("flux")), plan, client=dead, metric=metric)(PROMPT)
    assert (selection.outcome, len(selection.finished), selection.calls) == ("failed_open", seeds, 4 * seeds)
    assert [(failure.step, failure.reason) for failure in selection.failures] == [(0, "no_probe")]


def test_a_stage_that_fails_is_caught_up_by_the_next(make_backbone, backend_of, client) -> None:
    selector = selector_of(backend_of(make_backbone("flux")), BUDGET, Answering(client, 1), "flux")
    selection = selector(PROMPT)
    assert (selection.outcome, len(selection.finished), selection.calls) == ("failed_open", 1, 4 * 3 + 1)
    assert {sample.judgements[0].reason for sample in selection.samples} == {"network"}
    assert selector(PROMPT).outcome == "failed_open"


def test_a_probe_answers_without_a_service_as_with_it(make_backbone, backend_of, client, models) -> None:
    backend = backend_of(make_backbone("sd15"))
    served = selector_of(backend, TWO_SURVIVE, client, "sd15")(PROMPT)
    local = Selector(backend, TWO_SURVIVE, probe=models / "sd15" / "1", deadline_ms=PATIENT_MS)(PROMPT)
    assert (local.outcome, local.model) == ("scored", "sd15@1")
    assert [sample.dropped_at for sample in local.samples] == [sample.dropped_at for sample in served.samples]
    for ours, theirs in zip(local.samples, served.samples, strict=True):
        assert [one.reason for one in ours.judgements] == [one.reason for one in theirs.judgements]
        assert [one.score for one in ours.judgements] == pytest.approx([one.score for one in theirs.judgements], abs=1e-4)
    assert Selector(backend, BUDGET, probe=models / "sd15" / "1")(PROMPT).plan == PLAN


def test_a_foreign_capture_drops_nothing(models) -> None:
    probe = LocalClient(models / "sd15" / "1")
    attention, mask = np.zeros((2, 2, 3, 8, 8), np.float16), np.ones((2, 3), np.uint8)
    outcome = probe.score(
        attention, 1.0, policy={"keep": {"1": 1}}, step=1, sample_ids=["a", "b"], capture_id="0" * 16, token_mask=mask
    )
    assert (outcome.reason, outcome.error.field) == ("refused", "capture_id")


def test_select_takes_a_pipeline_or_a_backend(make_backbone, backend_of, metric) -> None:
    backbone = make_backbone("flux")
    by_pipe = select(backbone.pipe, PROMPT, plan=Plan(2), metric=metric, steps=4, call=backbone.settings)
    by_backend = select(backend_of(backbone), PROMPT, plan=Plan(2), metric=metric)
    assert [sample.quality for sample in by_pipe.samples] == [sample.quality for sample in by_backend.samples]
    with pytest.raises(ValueError, match="a backend has its own"):
        select(backend_of(backbone), PROMPT, plan=Plan(2), steps=4)


def test_a_mistake_is_raised(make_backbone, backend_of, client, models) -> None:
    backbone = make_backbone("flux")
    backend = backend_of(backbone)
    folder = models / "flux" / "1"
    for plan, message in [
        (9, r"no plan for the budget 9: expected one of \[2.5\]"),
        (Plan(4, ((2, 3), (4, 1))), r"cannot score at step 4: expected some of \[1, 2, 3\]"),
        (Plan(4, ((1, 5),)), "counts from 4 down to 1"),
        (Plan(4, ((2, 2), (1, 1))), "ascending steps"),
        (Plan(0), "a plan of 0 seeds"),
    ]:
        with pytest.raises(ValueError, match=message):
            Selector(backend, plan, probe=folder)
    with pytest.raises(ValueError, match="the service serves no probe nothing"):
        selector_of(backend, BUDGET, client, "nothing")(PROMPT)
    with pytest.raises(ValueError, match="a client or the folder of a probe is needed"):
        Selector(backend, BUDGET)
    with pytest.raises(ValueError, match="the argument generator of the pipeline is set by the selection"):
        backend_of(backbone, generator=None)
