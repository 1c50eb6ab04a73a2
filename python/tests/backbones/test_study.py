"""The study `backbones`: with one, two or three backbones, their variants, and what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.backbones.study import study_backbones
from diffusion_probe.cli import main
from diffusion_probe.evaluation.figures import best_of_drawn

from .evaluated import POINTS, samples, write_evaluated, write_selections

NUMBERS = ("srcc", "ktc", "pcc", "auc20", "pairwise", "gap_8")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with FLUX, an older version of it, three further points of its curve, and two variants."""
    root = tmp_path_factory.mktemp("evaluated")
    models = root / "models"
    write_evaluated(models / "flux" / "1", noise=9.0)
    write_evaluated(models / "flux" / "2", noise=0.3, training_prompts=800)
    for prompts, noise in ((100, 2.0), (200, 1.0), (400, 0.5)):
        write_evaluated(models / f"flux-{prompts}" / "1", noise=noise, training_prompts=prompts)
    write_evaluated(models / "flux-things" / "1", metric="module:things")
    write_evaluated(models / "flux-96" / "1", side=96, seeds=8)
    write_evaluated(root / "own" / "1", noise=0.1)
    return root


@pytest.fixture
def models(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of it, beside the probe of our own backbone."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    return tmp_path / "models"


def command(models: Path, *more: str) -> list[str]:
    root = models.parent
    return [
        "study",
        "backbones",
        "--models",
        str(models),
        "--own",
        str(root / "own" / "1"),
        "--selections",
        str(root / "select"),
        *more,
    ]


def test_the_figures_are_those_of_the_newest_evaluated_probe(models: Path) -> None:
    study = study_backbones(models, models.parent / "own" / "1", models.parent / "select")
    flux = study.backbones["flux"]
    assert (list(study.backbones), flux["probe"], flux["training_prompts"], study.own) == (["flux"], "flux@2", 800, "own@1")
    assert list(flux["steps"]) == [str(step) for step in POINTS]
    report = json.loads((models / "flux" / "2" / "report.json").read_text())
    for step, own in flux["steps"].items():
        methods = report["steps"][step]["methods"]
        for name in NUMBERS:
            assert own[f"{name}_low"] <= own[name] <= own[f"{name}_high"]
        assert own["auc20"] == methods["probe"]["auc_20"]["value"]
        assert own["gap_8_preview"] == methods["preview_quality"]["gap_closed_8"]["value"]
        assert own["gap_8_preview_low"] < own["gap_8_preview"] < own["gap_8_preview_high"]
        assert own["gap_8_prompt_mean"] == 0
        assert own["srcc_prompt_mean"] == methods["true_prompt_mean"]["srcc"]["value"] > 0.5
    assert flux["steps"]["1"]["gap_8"] < flux["steps"]["15"]["gap_8"] < flux["steps"]["15"]["gap_8_own"]
    for missing in ("SDXL: there is no probe", "Qwen-Image: there is no probe", "FLUX: the wall clock"):
        assert any(what.startswith(missing) for what in study.missing)
    assert len(study.missing) == 3


def test_probes_of_the_same_conditions_are_the_curve_and_others_are_variants(models: Path) -> None:
    flux = study_backbones(models, models.parent / "own" / "1", models.parent / "select").backbones["flux"]
    assert list(flux["curve"]) == ["100", "200", "400", "800"]
    gaps = [own["10"]["gap_8"] for own in flux["curve"].values()]
    assert gaps == sorted(gaps)
    assert set(flux["curve"]["100"]["5"]) == {f"{name}{end}" for name in ("srcc", "gap_8") for end in ("", "_low", "_high")}
    assert {name: own["differs"] for name, own in flux["variants"].items()} == {
        "flux-96": ["resolution"],
        "flux-things": ["metric"],
    }
    assert flux["variants"]["flux-96"]["resolution"] == [96, 96]
    assert flux["variants"]["flux-things"]["plan"]["gain"] > 0


def test_the_plan_is_compared_with_best_of_three_for_as_many_calls_and_for_as_much_time(models: Path) -> None:
    select = models.parent / "select" / "flux"
    write_selections(select / "plan", seconds=0.9, seeds=8, qualities=[0.8, 0.9])
    write_selections(select / "best-of-3", seconds=0.6, seeds=3, qualities=[0.7, 0.8])
    plan = study_backbones(models, models.parent / "own" / "1", models.parent / "select").backbones["flux"]["plan"]
    quality = samples(2, 0.3, True, 8).quality
    random, best = quality.mean(), quality.max(axis=1).mean()
    expected = [(best_of_drawn(quality, k).mean() - random) / (best - random) for k in (3, 4, 5)]
    assert plan["best_of_3"] == pytest.approx(expected[0], abs=1e-3)
    assert plan["gain"] == pytest.approx(plan["gap"] - plan["best_of_3"], abs=2e-4)
    assert plan["gain_low"] < plan["gain"] < plan["gain_high"]
    assert plan["calls"] <= 75
    assert (plan["seconds"], plan["seconds_best_of_3"], plan["seconds_ratio"], plan["timed_prompts"]) == (0.9, 0.6, 1.5, 2)
    assert plan["best_of_same_seconds"] == pytest.approx(np.mean(expected[1:]), abs=1e-3)  # of 4.5 images
    assert plan["gain_by_seconds"] == pytest.approx(plan["gap"] - plan["best_of_same_seconds"], abs=2e-4)


def test_the_command_writes_the_page_and_its_figures(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_evaluated(models / "sdxl" / "1", baselines=False, training_prompts=None)
    write_evaluated(models / "qwen" / "1", seeds=6)
    (tmp_path / "docs").mkdir()
    assert main(command(models, "--write", "--docs", str(tmp_path / "docs"), "--json")) == 0
    printed, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    figures = json.loads((tmp_path / "docs" / "backbones.json").read_text())
    assert figures == json.loads(last)
    assert list(figures) == ["sdxl", "flux", "qwen"]
    page = (tmp_path / "docs" / "backbones.md").read_text()
    assert page == f"# Three backbones\n\n{printed.strip()}\n"
    for part in (
        "## SDXL\n",
        "## FLUX\n",
        "## Qwen-Image\n",
        "## Missing\n",
        "### Another metric: `module:things`, 64x64 pixels",
    ):
        assert part in page
    assert "| 5 | paper, FLUX | 0.76 | 0.60 | 0.75 | 0.88 |" in page
    sdxl = figures["sdxl"]["steps"]["5"]
    assert (sdxl["gap_8_preview"], sdxl["gap_8_attend_and_excite"]) == (None, None)
    assert "- SDXL: the baseline preview_quality (collect with --baselines and --subjects)" in page
    assert "- SDXL: the curve over training prompts" in page
    assert figures["qwen"]["steps"]["5"]["gap_8"] is None
    assert "- Qwen-Image: the gap of 8 images, because each test prompt has 6" in page
    step = figures["flux"]["steps"]["5"]
    assert f"{step['gap_8']:.3f} [{step['gap_8_low']:.3f}, {step['gap_8_high']:.3f}]" in page


def test_what_cannot_be_read_is_one_sentence(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path / "nowhere")) == 2
    assert "no probe of sdxl, flux, qwen in" in capsys.readouterr().err
    report = models / "flux" / "2" / "report.json"
    written = json.loads(report.read_text())
    report.write_text(json.dumps({**written, "split": "calibration"}))
    assert main(command(models)) == 2
    assert "is of the split 'calibration': evaluate the probe on the test split" in capsys.readouterr().err
    report.unlink()
    assert main(command(models)) == 2
    assert "report.json does not exist: 'diffusion-probe evaluate' writes it" in capsys.readouterr().err
