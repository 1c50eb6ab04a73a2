"""The check finds captured maps right for every family, and finds deliberate mistakes of the capture and of a family's row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from diffusion_probe.capture import CaptureError
from diffusion_probe.capture.reduction import AttentionCall
from diffusion_probe.check import TOLERANCE, check_pipeline
from diffusion_probe.cli import main
from diffusion_probe.families import ALL, FAMILIES, FIRST, ROWS_AFTER
from diffusion_probe.tiny import TINY, TinyBackbone

from ..families.family_case import Case
from ..families.supported_pipelines import CASES

torch.set_num_threads(1)


def one_of_each_family() -> list[Case]:
    """The first case of each family, and one of each kind that adds rows or pictures."""
    first = {FAMILIES[case.pipeline].name: case for case in reversed(CASES)}
    kinds = ("StableDiffusionXLPAG", "FluxKontext", "StableDiffusion3ControlNet", "QwenImageInpaint")
    return [*first.values(), *(case for case in CASES if case.name.removesuffix("Pipeline") in kinds)]


def check(case: Case, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in case.patches.items():
        monkeypatch.setattr(name, value)
    call = {
        name: value[0] if isinstance(value, list) and name == "negative_prompt" else value for name, value in case.call.items()
    }
    return check_pipeline(case.build(), call, ["*"])


@pytest.mark.parametrize("case", one_of_each_family(), ids=lambda case: case.name)
def test_every_family_is_right(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(case, monkeypatch)
    assert report.ok, str(report)
    assert "Right: the maps of all" in str(report)


@pytest.mark.parametrize("name", TINY)
def test_the_command_prints_a_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", "check", "--tiny", name, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "heads", "x", "queries", "x", "keys", "tokens", "difference", "ok"]
    assert all(line.endswith("yes") for line in lines[1:-2])
    assert lines[-1].startswith("Right: the maps of all")


def wrong_call(**changes: Callable[[AttentionCall], Any]) -> Callable[..., AttentionCall]:
    """`AttentionCall.row` with another scale or mask."""
    right = AttentionCall.row
    return lambda call, *where: right(replace(call, **{name: change(call) for name, change in changes.items()}), *where)


def test_a_wrong_scale_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(AttentionCall, "row", wrong_call(scale=lambda call: 2 * call.scale))
    assert main(["capture", "check", "--tiny", "sd15", "--device", "cpu", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["tolerance"]) == (False, TOLERANCE)
    assert all(layer["difference"] > TOLERANCE for layer in report["layers"])


def test_a_forgotten_mask_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in CASES if case.pipeline == "PixArtSigmaPipeline")
    assert check(case, monkeypatch).ok
    monkeypatch.setattr(AttentionCall, "row", wrong_call(mask=lambda call: None))
    assert not check(case, monkeypatch).ok


@pytest.mark.parametrize(
    ("name", "pipeline", "changes", "message"),
    [
        ("flux", "FluxPipeline", {"tokens": 1}, "differ"),
        ("sd15", "StableDiffusionPipeline", {"tokens": 1}, "differ"),
        ("sdxl", "StableDiffusionXLPipeline", {"guidance": ROWS_AFTER}, "differ"),
        ("sd3", "StableDiffusion3Pipeline", {"guidance": ROWS_AFTER}, "differ"),
        ("sd3", "StableDiffusion3Pipeline", {"text": FIRST}, "differ"),
    ],
)
def test_a_wrong_row_of_a_family_is_found(name, pipeline, changes, message, monkeypatch, capsys) -> None:
    row = FAMILIES[pipeline]
    if "tokens" in changes:  # one position further to the right
        changes = {"tokens": tuple(replace(one, template=lambda pipe, call, prompt: f"a {prompt}") for one in row.tokens)}
    monkeypatch.setitem(FAMILIES, pipeline, replace(row, **changes))
    assert main(["capture", "check", "--tiny", name, "--device", "cpu"]) == 1
    assert message in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_the_same_tolerance(dtype: torch.dtype) -> None:
    backbone = TinyBackbone("flux")
    report = check_pipeline(backbone.pipe.to(dtype=dtype), backbone.settings)
    assert report.ok, str(report)


def test_a_pipeline_that_is_not_supported_is_refused_with_what_to_do() -> None:
    with pytest.raises(CaptureError, match=r"OtherPipeline is not supported.*docs/bring-your-own\.md"):
        check_pipeline(type("OtherPipeline", (), {})())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "none"}, "FluxPipeline has no attention layers: expected modules whose names match none"),
        ({"learned": 500}, "does not fit an image of"),
        ({"text": ALL}, "match no level"),
    ],
)
def test_a_row_that_does_not_fit_is_a_clear_error(changes, message, monkeypatch, capsys) -> None:
    monkeypatch.setitem(FAMILIES, "FluxPipeline", replace(FAMILIES["FluxPipeline"], **changes))
    assert main(["capture", "check", "--tiny", "flux", "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_attention_without_the_kernel_cannot_be_checked() -> None:
    backbone = TinyBackbone("sd15")
    backbone.pipe.enable_attention_slicing()
    with pytest.raises(CaptureError, match="made no call of scaled_dot_product_attention"):
        check_pipeline(backbone.pipe, backbone.settings)
