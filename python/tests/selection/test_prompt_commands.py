"""The commands `prompt` and `study prompt` on a saved pipeline of diffusers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from diffusion_probe.cli import main
from diffusion_probe.tiny import TinyBackbone
from diffusion_probe.tiny.backbone import STEPS

from .test_command import METRIC

REWRITER = "def rewrite(prompt, count):\n    return [f'the {prompt}', f'{prompt} below a hat'][:count]\n"
PROMPTS = ["a cat on the banana", "a hat", "the banana on a hat"]


@pytest.fixture
def command(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A command on a saved pipeline, with its probe in this process, and a rewriter and a metric of the user."""
    backbone = TinyBackbone("sd15")
    backbone.pipe.save_pretrained(tmp_path / "tiny-sd15")
    (tmp_path / "own_metric.py").write_text(METRIC)
    (tmp_path / "own_rewriter.py").write_text(REWRITER)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("own_metric", "own_rewriter"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def run(*arguments: object) -> int:
        own = ["--pipeline", "./tiny-sd15", "--steps", str(STEPS), "--call", json.dumps(backbone.settings)]
        who = ["--metric", "own_metric:redness", "--rewriter", "own_rewriter:rewrite", "--probe", str(models / "sd15")]
        return main([*map(str, arguments), *own, *who, "--out", "out", "--look-step", "1"])

    return run


def test_a_prompt_is_optimized_within_its_budget(command, tmp_path: Path) -> None:
    assert command("prompt", PROMPTS[0], "--tau", "99", "--budget", 3) == 0
    record = json.loads((tmp_path / "out" / "prompt.json").read_text())
    assert (record["decision"], record["outcome"], record["model"], record["differences"]) == (
        "rewritten",
        "scored",
        "sd15@1",
        {},
    )
    assert record["calls"] == 1 + 11 <= 3 * STEPS
    assert [sample.get("prompt", PROMPTS[0]) for sample in record["samples"]] == [
        PROMPTS[0],
        f"the {PROMPTS[0]}",
        f"{PROMPTS[0]} below a hat",
        PROMPTS[0],
    ]
    assert record["ranked_by"] == "metric"


def test_the_study_draws_the_wordings_of_a_file(command, tmp_path: Path, capsys) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "workflows.md").write_text("<!-- pipeline.prompt -->\n<!-- /pipeline.prompt -->\n")
    own = ["--prompts", "prompts.txt", "--seeds", 4, "--candidates", 2, "--tau", "0.0", "--budget", 3]
    assert command("study", "prompt", *own, "--docs", docs, "--write", "--json") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["pipeline"], figures["captions"], figures["wordings"], figures["by_tau"]) == ("./tiny-sd15", 3, 3, [])
    assert json.loads((docs / "workflows.json").read_text())["pipeline"]["prompt"]["captions"] == 3
    wordings = json.loads((tmp_path / "out" / "wordings.json").read_text())
    assert wordings == [[prompt, f"the {prompt}", f"{prompt} below a hat"] for prompt in PROMPTS]
    matrix = json.loads((tmp_path / "out" / "matrix.json").read_text())
    assert [[entry["prompt"] for entry in own] for own in matrix["captions"]] == wordings


def test_a_study_of_a_pipeline_needs_prompts(command, capsys) -> None:
    assert command("study", "prompt") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "diffusion-probe: --pipeline needs --prompts too"
