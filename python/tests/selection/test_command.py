"""The command `select` on a saved pipeline of diffusers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffusion_probe.cli import main
from diffusion_probe.tiny import TinyBackbone
from diffusion_probe.tiny.backbone import HEIGHT, STEPS, WIDTH

METRIC = "import numpy as np\n\ndef redness(images, prompts):\n    return [np.asarray(i)[..., 0].mean() / 255 for i in images]\n"


@pytest.fixture
def command(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command on a saved pipeline, with its probe in this process and a metric of the user."""
    backbone = TinyBackbone("sd15")
    backbone.pipe.save_pretrained(tmp_path / "tiny-sd15")
    (tmp_path / "own_metric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)

    def run(*arguments: str, **call: object) -> int:
        own = ["--pipeline", "./tiny-sd15", "--steps", str(STEPS), "--call", json.dumps(backbone.settings | call)]
        return main(["select", *arguments, *own, "--probe", str(models / "sd15"), "--out", "out"])

    return run


def test_a_saved_pipeline_is_drawn_as_its_probe_was_calibrated(command, tmp_path: Path) -> None:
    assert command("a cat on the banana", "--budget", "2.5", "--metric", "own_metric:redness") == 0
    record = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert (record["outcome"], record["model"], record["differences"]) == ("scored", "sd15@1", {})
    assert (record["budget"], record["calls"], record["ranked_by"]) == (2.5, 11, "metric")
    assert record["expected"]["quality"]["value"] == 0.5
    best = next(sample for sample in record["samples"] if sample["rank"] == 1)
    assert Image.open(tmp_path / "out" / best["image"]).size == (WIDTH, HEIGHT)
    assert (tmp_path / "out" / "sheet.png").exists()


def test_how_a_run_differs_from_the_calibration_is_recorded(command, tmp_path: Path) -> None:
    assert command("a cat on the banana", "--budget", "2.5", guidance_scale=3.0) == 0
    record = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert record["differences"]["call.guidance_scale"]["run"] == 3
    assert (record["outcome"], record["ranked_by"]) == ("scored", "score")


def test_an_argument_that_the_selection_sets_is_refused(command, tmp_path: Path, capsys) -> None:
    assert command("a cat", "--best-of", "2", num_images_per_prompt=3) == 2
    message = "the argument num_images_per_prompt of the pipeline is set by the selection"
    assert capsys.readouterr().err.splitlines()[-1] == f"diffusion-probe: {message}"
    assert not (tmp_path / "out").exists()
