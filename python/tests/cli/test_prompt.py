"""The commands `prompt` and `study prompt` in the tiny world: what they write, how they resume, and their messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from diffusion_probe.cli import main
from diffusion_probe.reference.captions import parse

CAPTION, OTHER = "a cat left of two keys on a blue background", "two keys on a green background"
STEPS, LOOK = 25, 5
REWRITE, KEEP = ["--tau", "99"], ["--tau", "-99"]


@pytest.fixture
def prompt(world):
    """The command in the tiny world, with its probe in this process."""

    def run(*arguments: object, probe: bool = True) -> int:
        own = ["--probe", str(world.folder.parent)] if probe else []
        return main(["prompt", *map(str, arguments), *own, *world.source])

    return run


def record_of(folder: Path) -> dict:
    return json.loads((folder / "prompt.json").read_text())


def errors(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_prompt_that_promises_little_is_rewritten_and_everything_is_recorded(prompt, tmp_path: Path, capsys) -> None:
    assert prompt(CAPTION, *REWRITE, "--candidates", 3, "--out", tmp_path, "--first-seed", 7) == 0
    record = record_of(tmp_path)
    assert (record["prompt"], record["decision"], record["outcome"], record["model"]) == (
        CAPTION,
        "rewritten",
        "scored",
        "tiny@3",
    )
    assert (record["budget"], record["tau"]) == (None, {"value": 99, "step": LOOK, "from": "operator"})
    assert (record["rewriter"]["name"], record["rewriter"]["outcome"]) == ("grammar", "answered")
    texts = [wording["prompt"] for wording in record["wordings"]]
    assert texts[0] == CAPTION
    assert len(set(texts)) == 4
    assert {parse(text).key() for text in texts} == {parse(CAPTION).key()}
    scores = [wording["score"] for wording in record["wordings"]]
    assert texts[scores.index(max(scores))] == record["chosen"]
    assert record["original_won"] == (record["chosen"] == CAPTION)
    assert [draw["purpose"] for draw in record["draws"]][0::2] in (["look"], ["look", "final"])
    assert record["calls"] == LOOK + 3 * LOOK + STEPS - (0 if record["original_won"] else LOOK)
    assert record["look"]["scores"] == [pytest.approx(scores[0])]
    (best,) = [sample for sample in record["samples"] if sample["rank"] == 1]
    assert (best.get("prompt", CAPTION), best["seed"]) == (record["chosen"], 7)
    assert Image.open(tmp_path / best["image"]).size == (64, 64)
    assert (tmp_path / "sheet.png").exists()
    output = capsys.readouterr().out
    assert output.startswith(f"{tmp_path / best['image']}: seed 7, quality ")
    assert "rewritten: the best image is of " in output


def test_a_prompt_that_promises_enough_is_drawn_as_given(prompt, tmp_path: Path) -> None:
    assert prompt(CAPTION, *KEEP, "--out", tmp_path) == 0
    record = record_of(tmp_path)
    assert (record["decision"], record["original_won"], record["calls"]) == ("good_enough", True, STEPS)
    assert record["rewriter"]["outcome"] == "not_asked"
    assert len(record["wordings"]) == 1


def test_a_budget_is_spent_by_a_plan_over_the_wordings(prompt, tmp_path: Path) -> None:
    assert prompt(CAPTION, *REWRITE, "--budget", 3, "--look-step", 1, "--out", tmp_path) == 0
    record = record_of(tmp_path)
    assert record["calls"] <= 3 * STEPS
    look, final = record["draws"]
    assert (look["calls"], final["samples"]) == (1, record["samples"])
    drawn = [sample.get("prompt", CAPTION) for sample in final["samples"]]
    assert len(set(drawn)) == min(len(drawn), 7)
    assert final["plan"]["seeds"] == len(drawn)


def test_the_threshold_is_that_of_the_calibration(prompt, tmp_path: Path) -> None:
    assert prompt(CAPTION, "--out", tmp_path / "pays") == 0
    tau = record_of(tmp_path / "pays")["tau"]
    assert (tau["from"], tau["step"]) == ("calibration", LOOK)
    assert tau["value_of_a_call"] > 0
    assert prompt(CAPTION, "--rewriter-calls", 1e6, "--out", tmp_path / "dear") == 0
    dear = record_of(tmp_path / "dear")
    assert (dear["tau"]["value"], dear["decision"], dear["look"]) == ("never", "never", None)
    assert prompt(CAPTION, "--tau", "40%", "--out", tmp_path / "share") == 0
    assert 0 < record_of(tmp_path / "share")["tau"]["value"] < 1


def test_a_file_is_resumed_and_other_settings_are_refused(prompt, tmp_path: Path, capsys) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(f"{CAPTION}\n{OTHER}\n")
    command = ["--prompts", prompts, "--out", out, "--candidates", 2]
    assert prompt(*command, *REWRITE) == 0
    assert f"{out}: 2 prompts; 2 rewritten; a rewrite won " in capsys.readouterr().out
    written = (out / "0001" / "sheet.png").stat().st_mtime_ns
    (out / "0002" / "prompt.json").unlink()
    assert prompt(*command, *REWRITE) == 0
    assert (out / "0001" / "sheet.png").stat().st_mtime_ns == written
    assert record_of(out / "0002")["prompt"] == OTHER
    assert prompt(*command, *KEEP) == 2
    assert "0001 holds a prompt of other settings: tau (now -99.0, before 99)" in errors(capsys)


def test_a_rewriter_that_fails_or_changes_the_meaning_costs_no_image(prompt, tmp_path: Path, capsys) -> None:
    own = ["--rewriter", "command", "--rewriter-command"]
    assert prompt(CAPTION, *REWRITE, *own, "echo broken >&2; exit 4", "--out", tmp_path / "a") == 0
    record = record_of(tmp_path / "a")
    assert (record["decision"], record["original_won"], record["rewriter"]["outcome"]) == ("not_rewritten", True, "failed")
    assert "RewriterError: the command ended with exit code 4: broken" in record["rewriter"]["failure"]
    assert "the rewriter failed for 1 of 1, whose prompts went on as given; the first: RewriterError" in capsys.readouterr().out
    lines = "a cat left of three keys on a blue background\\na zebra\\ntwo keys right of a cat on a blue background\\n"
    assert prompt(CAPTION, *REWRITE, *own, f"printf '{lines}'", "--out", tmp_path / "b") == 0
    record = record_of(tmp_path / "b")
    assert [wording["prompt"] for wording in record["wordings"]] == [CAPTION, "two keys right of a cat on a blue background"]
    assert record["rewriter"]["refused"][0]["reason"] == "it has another meaning than the prompt"
    assert "cannot draw 'a zebra'" in record["rewriter"]["refused"][1]["reason"]


def test_without_a_service_the_prompt_is_drawn_as_given(prompt, tmp_path: Path, capsys) -> None:
    command = [CAPTION, "--tau", "0.5", "--budget", 2, "--service", "http://127.0.0.1:9", "--out", tmp_path]
    assert prompt(*command, probe=False) == 0
    record = record_of(tmp_path)
    assert (record["decision"], record["outcome"], record["tau"], record["calls"]) == ("unscored", "failed_open", None, 50)
    assert "1 of 1 failed open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a prompt or --prompts is needed, and not both"),
        ([CAPTION], "--service or --probe is needed"),
        ([CAPTION, "--service", "http://127.0.0.1:9"], "--tau calibration needs --probe"),
        ([CAPTION, "--service", "http://127.0.0.1:9", "--tau", "30%"], "--tau 30% needs --probe"),
        ([CAPTION, "--probe", "nowhere"], "no probe.json in nowhere"),
        ([CAPTION, "--probe", "p", "--rewriter", "other"], "there is no rewriter 'other'"),
        ([CAPTION, "--probe", "p", "--pipeline", "x"], "--rewriter is needed: expected openai"),
        ([CAPTION, "--probe", "p", "--pipeline", "x", "--rewriter", "grammar"], "--rewriter grammar is for the reference world"),
        ([CAPTION, "--probe", "p", "--rewriter", "command"], "--rewriter command needs --rewriter-command"),
        (
            [CAPTION, "--probe", "p", "--rewriter", "command", "--rewriter-command", "no-such-thing x"],
            "--rewriter-command: there",
        ),
        ([CAPTION, "--probe", "p", "--rewriter", "nowhere_at_all:f"], "the rewriter nowhere_at_all:f cannot be loaded"),
        ([CAPTION, "--probe", "p", "--rewriter", "openai"], "--rewriter openai needs --rewriter-model"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, prompt, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert prompt(*arguments, "--out", out, probe=False) == 2
    assert errors(capsys).startswith(f"diffusion-probe: {message}")
    assert not out.exists()


@pytest.mark.parametrize("option", [["--tau", "low"], ["--tau", "140%"], ["--budget", "0"], ["--rewriter-calls", "-1"]])
def test_an_option_of_another_form_is_refused(option: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prompt", CAPTION, *option])
    assert stop.value.code == 2
    assert "expected" in errors(capsys)


def test_the_study_draws_every_wording_once_and_writes_figures_and_tables(world, tmp_path: Path, capsys) -> None:
    docs, out = tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    (docs / "workflows.md").write_text("# Workflows\n\n<!-- prompt -->\nold\n<!-- /prompt -->\n\nend\n")
    (docs / "workflows.json").write_text('{"grpo": {"kept": 1}}')
    own = ["--probe", world.folder, "--captions", 4, "--seeds", 4, "--candidates", 2, "--tau", "40%", "--look-step", 1]
    command = ["study", "prompt", *map(str, own), "--out", str(out), "--docs", str(docs), "--no-compile", *world.source]
    assert main([*command, "--write", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["probe"], figures["captions"], figures["split"], figures["look_step"]) == ("tiny@3", 4, "test", 1)
    assert set(figures) >= {
        "gain_per_call_ratio",
        "share_of_always_rewriting_gain",
        "pairwise_accuracy",
        "better_than_plan_alone",
    }
    written = json.loads((docs / "workflows.json").read_text())
    assert written["grpo"] == {"kept": 1}
    assert written["prompt"]["pairwise_accuracy"] == figures["pairwise_accuracy"]
    page = (docs / "workflows.md").read_text()
    assert page.startswith("# Workflows\n\n<!-- prompt -->\n\n4 captions in 3 wordings on average")
    assert page.endswith("<!-- /prompt -->\n\nend\n")
    assert "old" not in page
    matrix = json.loads((out / "matrix.json").read_text())
    assert [len(own) for own in matrix["captions"]] == [3] * 4
    shards = {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")} == shards
    assert main([*command, "--candidates", "1"]) == 2
    assert "samples of other prompts" in errors(capsys)
    (docs / "workflows.md").write_text("no marks\n")
    assert main([*command, "--write"]) == 2
    assert "has no lines <!-- prompt -->" in errors(capsys)


def test_the_study_refuses_fewer_seeds_than_its_plan_starts_before_it_draws(world, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    command = ["study", "prompt", "--probe", str(world.folder), "--out", str(out), "--no-compile", *world.source]
    assert main([*command, "--seeds", "1"]) == 2
    assert "--seeds 1: the plan for --budget 2 starts" in errors(capsys)
    assert not out.exists()
