"""A selection in the reference world: dropped samples leave the batch, and the others are drawn as they would be alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.client import ProbeClient
from diffusion_probe.local import LocalProbe
from diffusion_probe.planning.plan import Plan
from diffusion_probe.probe.manifest import read_manifest
from diffusion_probe.prompting.gate import Gate
from diffusion_probe.reference.rectified_flow import STEPS
from diffusion_probe.reference.selection import ReferenceBackend
from diffusion_probe.reference.source import ReferenceSource
from diffusion_probe.selection import Selector
from diffusion_probe.selection.asking import Asking
from diffusion_probe.selection.local_client import LocalClient

ROOT = Path(__file__).parents[3]
CAPTION = "a cat left of two keys on a blue background"
PLAN = Plan(6, ((1, 5), (5, 3), (10, 2)))
PATIENT_MS = 60_000.0


@pytest.fixture
def source(world) -> ReferenceSource:
    return ReferenceSource.load(world.reference)


@pytest.fixture(scope="module")
def served(world, start_service: Callable) -> ProbeClient:
    """A client of the service that serves the tiny world's probe."""
    with ProbeClient(start_service(world.folder.parents[1]).origin, deadline_ms=PATIENT_MS) as client:
        yield client


def test_dropped_samples_are_not_computed_and_the_others_are_drawn_as_alone(source, served) -> None:
    rows: list[int] = []
    whole = source.generate([CAPTION] * 6, range(6), (1,))
    source.backbone.denoiser.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    selection = Selector(ReferenceBackend(source), PLAN, client=served, deadline_ms=PATIENT_MS)(CAPTION)
    assert (selection.outcome, selection.model, selection.differences) == ("scored", "tiny@3", {})
    assert [count // 2 for count in rows] == [6] + [5] * 4 + [3] * 5 + [2] * 15  # two rows an image, for guidance
    assert selection.calls == sum(rows) // 2 == PLAN.calls(STEPS)
    assert [stage.last_step for stage in selection.stages] == [1, 5, 10, 25]
    assert selection.ranked_by == "metric"
    for sample in selection.finished:
        expected = whole.image[sample.seed].transpose(1, 2, 0).astype(int)
        assert np.abs(np.asarray(sample.image) - expected).max() <= 2
        assert sample.quality == pytest.approx(whole.quality[sample.seed], abs=1e-2)
    for sample in selection.samples:
        assert (sample.preview is None) == (sample.image is not None)
        assert [one.step for one in sample.judgements] == [step for step in (1, 5, 10) if step <= (sample.dropped_at or 10)]


def test_a_folder_answers_as_the_service_does(source, served, world) -> None:
    backend = ReferenceBackend(source)
    by_service = Selector(backend, PLAN, client=served, deadline_ms=PATIENT_MS)(CAPTION)
    by_folder = Selector(backend, PLAN, probe=world.folder)(CAPTION)
    scores = [[[one.score for one in sample.judgements] for sample in run.samples] for run in (by_service, by_folder)]
    assert [sample.dropped_at for sample in by_folder.samples] == [sample.dropped_at for sample in by_service.samples]
    for ours, theirs in zip(*scores, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_every_input_of_a_probe_is_as_it_was_trained_on() -> None:
    """`pictogram-full` also reads the caption's words, the preview and the guidance difference."""
    folder = ROOT / "models" / "pictogram-full" / "2"
    source = ReferenceSource.load(ROOT / "reference")
    selection = Selector(ReferenceBackend(source), Plan(2, ((1, 1),)), probe=folder)(CAPTION)
    assert (selection.outcome, selection.differences) == ("scored", {})
    samples = source.observe([CAPTION] * 2, range(2), (1,))
    tokens = int(samples.token_mask[0].sum())
    manifest = read_manifest(folder)
    height = manifest["capture"]["height"]
    assert samples.attention.shape[-1] >= height
    maps = torch.from_numpy(samples.attention[:, 0]).float()
    attention = torch.nn.functional.adaptive_avg_pool2d(maps.flatten(0, 1), height).unflatten(0, maps.shape[:2])
    signals = {
        "token_ids": samples.token_ids[:, :tokens],
        "preview": (samples.preview[:, 0] / 127.5 - 1).astype(np.float16),
        "guidance_difference": samples.guidance_difference[:, 0],
    }
    scores = LocalProbe(folder).score(
        attention[:, :, :tokens].to(torch.float16).numpy(),
        manifest["decision_points"][0]["timestep"],
        token_mask=samples.token_mask[:, :tokens],
        signals=signals,
    )
    assert [sample.score for sample in selection.samples] == pytest.approx(scores.tolist(), abs=2e-3)


def test_samples_of_different_captions_are_one_group_and_drawn_as_alone(source, world) -> None:
    captions = [CAPTION, "a dog on a pink background", "two keys right of a cat on a blue background", CAPTION]
    seeds = [0, 0, 0, 1]
    asking = Asking("pictogram", None, world.folder, None, PATIENT_MS)
    drawn = ReferenceBackend(source).draw(captions, seeds, asking.questions(asking.info(), Plan(4, ((1, 3), (5, 2)))))
    alone = source.generate(captions, seeds, (1,))
    assert sorted(len(sample.judgements) for sample in drawn.samples) == [1, 2, 2, 2]
    scores = [sample.judgements[0].score for sample in drawn.samples]
    assert [len(sample.judgements) for sample in drawn.samples].index(1) == scores.index(min(scores))
    for index, sample in enumerate(drawn.samples):
        if sample.image is not None:
            assert np.abs(np.asarray(sample.image) - alone.image[index].transpose(1, 2, 0).astype(int)).max() <= 2


def test_a_group_that_is_dropped_as_a_whole_ends_at_once(source, world) -> None:
    rows: list[int] = []
    source.backbone.denoiser.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    asking = Asking("pictogram", None, world.folder, None, PATIENT_MS)
    plan = Plan(3, ((5, 3),))
    gate = Gate(asking.client, 5)
    gate.begin(lambda scores: True)
    drawn = ReferenceBackend(source).draw([CAPTION] * 3, range(3), asking.questions(asking.info(), plan, gate))
    assert (len(rows), len(gate.scores)) == (5, 3)
    assert all(sample.image is None and sample.preview is not None for sample in drawn.samples)


def test_a_probe_that_was_calibrated_for_another_run_is_reported(source, world) -> None:
    selector = Selector(ReferenceBackend(source), Plan(2, ((1, 1),)), probe=world.folder)
    source.conditions["guidance"] = {"classifier_free": 5.0, "embedded": None}
    assert selector(CAPTION).differences == {"guidance.classifier_free": (5.0, 3)}


def test_a_probe_of_other_layers_is_refused(source, world) -> None:
    selector = Selector(ReferenceBackend(source), PLAN, probe=world.folder)
    source.capture = replace(source.capture, layers=("other",))
    with pytest.raises(ValueError, match=r"the probe reads the layer down\.0: the backbone has other"):
        selector(CAPTION)


def test_a_caption_that_cannot_be_drawn_is_named(source) -> None:
    backend = ReferenceBackend(source)
    backend.check(CAPTION)
    for caption, message in [
        ("a zebra on a blue background", "cannot draw 'a zebra on a blue background': not a number of pictograms: 'a' 'zebra'"),
        ("a cat", "a caption begins or ends in"),
    ]:
        with pytest.raises(ValueError, match=message):
            backend.check(caption)


def test_local_answers_are_those_of_the_best_scores(world) -> None:
    manifest = read_manifest(world.folder)
    attention = np.random.default_rng(0).dirichlet(np.ones(5), (6, *attention_shape(manifest))).astype(np.float16)
    attention = np.moveaxis(attention, -1, 2)[:, :, :4]
    names = [f"run/{index}" for index in range(6)]
    outcome = LocalClient(world.folder).score(
        attention, 1000.0, policy={"keep": {"1": 2}}, step=1, sample_ids=names, capture_id=manifest["capture_id"]
    )
    kept = [result for result in outcome.results if result.decision == "keep"]
    assert sorted(result.rank for result in kept) == [1, 2]
    assert min(result.score for result in kept) >= max(result.score for result in outcome.results if result.would_drop)
    assert [result.id for result in outcome.results] == names


def attention_shape(manifest: dict) -> tuple[int, int, int]:
    """Layers, height and width."""
    capture = manifest["capture"]
    return len(capture["layers"]), capture["height"], capture["width"]
