"""`study attention`: what it reads of each kind of attention, and what its command prints."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.capture import AttentionCapture
from diffusion_probe.cli import main
from diffusion_probe.collection.reductions import HALF_GRID, HEADS, MINUS_UNCONDITIONAL, TEXT_TO_IMAGE, Summaries
from diffusion_probe.evaluation.layers.features import FEATURES, map_features
from diffusion_probe.evaluation.layers.reductions import DEFAULT
from diffusion_probe.tiny import TinyBackbone

STEPS = (1, 2)


def summaries_of(name: str) -> tuple[dict[str, np.ndarray], AttentionCapture]:
    """The summaries of two images of a tiny pipeline, and the same capture with its maps."""
    backbone = TinyBackbone(name)
    summaries = Summaries()
    capture = AttentionCapture(backbone.pipe, None, STEPS, (8, 8), summaries)
    arguments = {**backbone.arguments("a red cat on the banana", 2), "num_inference_steps": 2}
    plain = AttentionCapture(backbone.pipe, None, STEPS, (8, 8))

    def run(own: AttentionCapture):
        return own(**{**arguments, "generator": torch.Generator().manual_seed(0)})

    maps, watched = run(plain), run(capture)
    assert all(np.array_equal(watched.steps[step].attention, maps.steps[step].attention) for step in STEPS)
    taken = summaries.take(len(capture.layers), len(STEPS))
    assert summaries.take(len(capture.layers), len(STEPS)) == {}
    for point, step in enumerate(STEPS):
        own = map_features(maps.steps[step].attention, maps.steps[step].token_mask)
        found = np.moveaxis(taken[DEFAULT][:, point], 0, 1)
        if name != "sdxl":  # a UNet does not run its layers in the order of their names
            np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-6)
        assert found.shape == own.shape
    return taken, capture


def test_cross_attention_has_rows_without_the_prompt_and_one_direction() -> None:
    taken, capture = summaries_of("sdxl")
    assert taken.keys() - {HEADS} == {DEFAULT, HALF_GRID, MINUS_UNCONDITIONAL}
    assert taken[MINUS_UNCONDITIONAL].shape == (len(capture.layers), len(STEPS), 2, len(FEATURES))
    assert np.abs(taken[MINUS_UNCONDITIONAL]).max() > 0


def test_joint_attention_has_two_directions() -> None:
    taken, capture = summaries_of("flux")
    assert taken.keys() == {DEFAULT, HALF_GRID, HEADS, TEXT_TO_IMAGE}
    assert taken[HEADS].shape == (len(capture.layers), 2, len(STEPS), 2, len(FEATURES))
    mass = FEATURES.index("mean_log_mass")
    assert not np.allclose(taken[TEXT_TO_IMAGE][..., mass], taken[DEFAULT][..., mass])


def test_the_command_prints_a_row_per_reduction(
    tmp_path: Path, saved_pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("\n".join(f"{number} red cat on the banana" for number in range(40)))
    metric = (
        "import numpy as np\n\ndef redness(images, prompts):\n    return [np.asarray(i)[..., 0].mean() / 255 for i in images]\n"
    )
    (tmp_path / "study_metric.py").write_text(metric)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "study_metric", raising=False)
    few = ["--count", "10", "--seeds", "3", "--steps", "2", "--at", "1,2", "--call", '{"height": 32, "width": 32}']
    files = ["--pipeline", str(saved_pipeline), "--prompts", str(tmp_path / "prompts.txt"), "--metric", "study_metric:redness"]
    assert main(["study", "attention", *files, *few, "--json"]) == 0
    printed = capsys.readouterr().out
    rows = {row["reduction"]: row for row in json.loads(printed.splitlines()[-1])["rows"]}
    assert {DEFAULT, HALF_GRID, MINUS_UNCONDITIONAL} <= rows.keys()
    assert "10 x 3 images" in printed
    assert rows[DEFAULT]["difference"] == 0
    assert all(set(row["by_step"]) == {"1", "2"} and -1 <= row["signal"] <= 1 for row in rows.values())
    assert main(["study", "attention", *files, *few, "--count", "2"]) == 2
    assert "expected at least" in capsys.readouterr().err
