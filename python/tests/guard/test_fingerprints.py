"""The guard sends the fingerprints of the run, and its result says how the run differs from the probe."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import HeunDiscreteScheduler

from diffusion_probe.capture import AttentionCapture
from diffusion_probe.client import ProbeClient, ScoredGroup
from diffusion_probe.fingerprint import fingerprint
from diffusion_probe.guard import ProbeGuard

PATIENT_MS = 60_000.0
BETTER_ONE = {"name": "top_k", "k": 1, "explore": {"rate": 0}}


class Recorder:
    """A client that records what the guard asks and what the service answers."""

    def __init__(self, client: Any):
        self.client = client
        self.asked: list[dict[str, Any]] = []
        self.answers: list[ScoredGroup] = []

    def models(self, **options: Any) -> Any:
        return self.client.models(**options)

    def score(self, *args: Any, **options: Any) -> Any:
        self.asked.append(options)
        self.answers.append(self.client.score(*args, **options))
        return self.answers[-1]


def guard_of(backbone, recorder: Recorder, **settings: Any) -> ProbeGuard:
    return ProbeGuard(
        backbone.pipe, recorder, model=backbone.name, steps=[2], policy=BETTER_ONE, deadline_ms=PATIENT_MS, **settings
    )


def test_a_run_like_the_probes_is_sent_as_such(backbone, client) -> None:
    recorder = Recorder(client)
    result = guard_of(backbone, recorder)(**backbone.arguments())
    assert result.differences == {}
    assert recorder.asked[0]["conditions_id"] == fingerprint(recorder.asked[0]["conditions"])
    assert [(answer.conditions, answer.foreign_conditions) for answer in recorder.answers] == [("same", ())]


def test_a_run_with_other_conditions_is_sent_as_such_and_told_in_the_result(make_backbone, client) -> None:
    backbone = make_backbone("sdxl")
    recorder = Recorder(client)
    guard = guard_of(backbone, recorder)
    for state in ("unknown", "foreign"):
        result = guard(**backbone.arguments(guidance_scale=15.0))
        assert result.differences == {"call.guidance_scale": (15.0, 5), "guidance.classifier_free": (15.0, 5)}
        assert result.outcome == "scored"
        assert recorder.answers[-1].conditions == state
    assert recorder.answers[-1].foreign_conditions == ("call.guidance_scale", "guidance.classifier_free")
    actual = AttentionCapture(backbone.pipe, steps=[2])(**backbone.arguments(guidance_scale=15.0))
    assert recorder.asked[-1]["conditions_id"] == fingerprint(actual.conditions)


def test_with_the_action_keep_no_sample_of_foreign_conditions_is_dropped(make_backbone, models, start_service, tmp_path) -> None:
    policies = tmp_path / "policies.json"
    rule = {"policy": {"name": "top_k", "k": 1, "explore": {"rate": 0}}, "on_foreign_conditions": "keep"}
    policies.write_text(json.dumps({"default": rule}))
    backbone = make_backbone("flux")
    service = start_service(models, POLICIES_FILE=str(policies))
    with ProbeClient(service.origin, deadline_ms=PATIENT_MS) as client:
        guard = ProbeGuard(backbone.pipe, client, model="flux", steps=[2], deadline_ms=PATIENT_MS)
        assert len(guard(**backbone.arguments()).kept) == 1
        result = guard(**backbone.arguments(guidance_scale=9.0))
    assert len(result.kept) == 2
    overrides = {sample.judgements[0].result.override for sample in result.samples}
    assert overrides == {None, "foreign_conditions"}


def test_a_pipeline_of_another_family_is_refused(make_backbone, models, client, tmp_path: Path) -> None:
    """The layers of SD3 and Qwen-Image have the same names."""
    backbone = make_backbone("qwen-image")
    recorder = Recorder(client)
    guard = ProbeGuard(backbone.pipe, recorder, model="sd3", probe=models / "sd3" / "1", steps=[2], deadline_ms=PATIENT_MS)
    result = guard(**backbone.arguments())
    assert [failure.reason for failure in result.failures] == ["refused"]
    assert result.differences["family"] == ("qwen-image", "sd3")
    assert all(image is not None for image in result.images)


def test_a_probe_of_schema_version_1_is_used_with_its_own_id(make_backbone, models, tmp_path: Path, caplog) -> None:
    backbone = make_backbone("sdxl")
    folder = tmp_path / "1"
    shutil.copytree(models / "sdxl" / "1", folder)
    manifest = json.loads((folder / "probe.json").read_text())
    for name in ("conditions", "conditions_id", "trajectories", "plans"):
        del manifest[name]
    manifest["schema_version"] = 1
    capture = {name: value for name, value in manifest["capture"].items() if name not in ("family", "forward", "precision")}
    manifest["capture"] = {
        **capture,
        "scheduler": "EulerDiscreteScheduler()",
        "total_steps": manifest.pop("total_steps"),
        "guidance": 5,
        "resolution": [32, 32],
    }
    manifest["capture_id"] = fingerprint(manifest["capture"])
    (folder / "probe.json").write_text(json.dumps(manifest))

    asked: list[dict[str, Any]] = []

    class Silent:
        def score(self, attention: np.ndarray, timestep: float, **options: Any) -> None:
            asked.append(options)

    ProbeGuard(backbone.pipe, Silent(), probe=folder)(**backbone.arguments())
    assert asked[0]["capture_id"] == manifest["capture_id"]
    assert "does not state how its images were drawn" in caplog.text


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_conditions_are_the_same_in_every_run(make_backbone, name: str) -> None:
    backbone = make_backbone(name)
    capture = AttentionCapture(backbone.pipe, steps=[1, 2])
    first, second = capture(**backbone.arguments()), capture(**backbone.arguments("two dog", images=1))
    assert first.conditions == second.conditions


def test_each_difference_is_in_every_result_and_logged_once(make_backbone, guard_dropping, caplog) -> None:
    backbone = make_backbone("sdxl")
    guard = guard_dropping(backbone)
    with caplog.at_level(logging.WARNING, "diffusion_probe"):
        assert guard(**backbone.arguments()).differences == {}
        assert not caplog.records
        for _ in range(2):
            result = guard(**backbone.arguments(guidance_scale=9.0, width=64))
            assert result.differences == {
                "call.guidance_scale": (9.0, 5),
                "call.width": (64, 48),
                "guidance.classifier_free": (9.0, 5),
            }
        assert [record.args[0] for record in caplog.records] == list(result.differences)
    backbone.pipe.scheduler = HeunDiscreteScheduler.from_config(backbone.pipe.scheduler.config)
    assert "scheduler.class" in guard(**backbone.arguments()).differences
