"""Every row of docs/run-settings.md is true."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry

from diffusion_probe.capture import AttentionCapture, CaptureRun
from diffusion_probe.conditions.differences import differences
from diffusion_probe.fingerprint import fingerprint
from diffusion_probe.tiny import TinyBackbone

from .pipe_changes import Change, Replace
from .run_settings import CAPTURE_ID, NEITHER, Setting, page, settings

PAGE = Path(__file__).parents[3] / "docs" / "run-settings.md"


def stop(pipe: Any, step: int, timestep: Any, tensors: dict) -> dict:
    """Nothing is compared of what follows the captured step."""
    pipe._interrupt = True
    return tensors


FEW = {"images": 1, "num_inference_steps": 2, "output_type": "latent", "callback_on_step_end": stop}
ROWS = list(settings())

tiny = functools.cache(TinyBackbone)


def run(backbone: str, changes: list[Change | None], call: Mapping[str, Any], **capture: Any) -> CaptureRun:
    made = [change for change in changes if change]
    is_light = all(isinstance(change, Replace) for change in made)
    pipe = (copy.copy if is_light else copy.deepcopy)(tiny(backbone).pipe)
    for change in made:
        change(pipe)
    torch.manual_seed(0)  # schedulers draw from it
    return AttentionCapture(pipe, steps=[1], **capture)(**tiny(backbone).arguments(**{**FEW, **call}))


UNCHANGED: dict[Any, CaptureRun] = {}


def unchanged(row: Setting) -> CaptureRun:
    key = (row.backbone, row.prepare, repr(row.before))
    if key not in UNCHANGED:
        UNCHANGED[key] = run(row.backbone, [row.prepare], row.before)
    return UNCHANGED[key]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.backbone}: {row.label}")
def test_a_setting_changes_the_fingerprint_that_the_page_says(row: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    if row.needs:
        pytest.importorskip(row.needs)
    # A backend that is set for one model is set for the process.
    monkeypatch.setattr(_AttentionBackendRegistry, "_active_backend", _AttentionBackendRegistry._active_backend)
    before = unchanged(row)
    after = run(row.other_backbone or row.backbone, [row.prepare, row.pipe], {**row.before, **row.call}, **row.capture)
    assert (after.settings.capture_id == before.settings.capture_id) == (row.changes != CAPTURE_ID)
    if row.other_backbone:
        return
    found = differences(after.conditions, before.conditions)
    assert (fingerprint(after.conditions) == fingerprint(before.conditions)) == (not found)
    members = {path.split(".")[0] for path in found}
    if row.changes in (CAPTURE_ID, NEITHER):
        assert not members
    else:
        assert row.changes in members


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({(row.backbone, row.label) for row in ROWS}) == len(ROWS)


def test_the_page_shows_the_rows() -> None:
    """See run_settings.py for the command that writes it."""
    assert PAGE.read_text() == page()
