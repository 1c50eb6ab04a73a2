"""The command `plan`: its text, its figures, what it writes, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffusion_probe.cli import main
from diffusion_probe.planning.planner import USUAL_BUDGETS

from .synthetic import STEPS, write_probe


def run(*arguments: object) -> int:
    return main(["plan", *map(str, arguments)])


def last_line(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.rstrip().rpartition("\n")[2])


def test_it_says_what_to_do_what_that_costs_and_what_to_expect(tmp_path: Path, capsys) -> None:
    assert run("--probe", write_probe(tmp_path), "--budget", 2, "--json") == 0
    output = capsys.readouterr().out
    assert output.startswith("made-up@4: plans chosen on 120 calibration prompts of 6 seeds, for the best finished image")
    assert "Budget 2 images (20 calls): start " in output
    assert "on test prompts quality" in output
    (plan,) = json.loads(output.rstrip().rpartition("\n")[2])["plans"]
    assert plan["keep"]
    assert plan["calls"] <= 20
    assert plan["expected"]["gain"]["low"] > 0
    assert plan["expected"]["quality"]["value"] == pytest.approx(plan["test"]["quality"]["value"], abs=0.5)


def test_it_says_so_when_plain_best_of_k_is_the_better_buy(tmp_path: Path, capsys) -> None:
    assert run("--probe", write_probe(tmp_path, noise=1e6), "--budget", 3, "--json") == 0
    output = capsys.readouterr().out
    assert "Budget 3 images (30 calls): start 3, finish 3; 30 calls" in output
    assert "Plain best-of-k is the better buy" in output
    assert json.loads(output.rstrip().rpartition("\n")[2])["plans"][0]["keep"] == {}


def test_it_writes_plans_for_the_usual_budgets(tmp_path: Path, capsys) -> None:
    folder = write_probe(tmp_path)
    assert run("--probe", folder, "--write") == 0
    plans = json.loads((folder / "probe.json").read_text())["plans"]
    assert [plan["budget"] for plan in plans] == list(USUAL_BUDGETS)
    for plan in plans:
        assert plan["calls"] <= plan["budget"] * STEPS
        assert list(plan["keep"].values()) == sorted(plan["keep"].values(), reverse=True)
        assert set(plan) == {"budget", "seeds", "keep", "calls", "pick", "final", "expected"}
        assert set(plan["expected"]["quality"]) == {"value", "low", "high"}
    assert len(json.loads((folder / "probe.json").read_text())["files"]["trajectories.npz"]) == 64


def test_a_budget_in_calls_or_seconds_is_one_in_images(tmp_path: Path, capsys) -> None:
    folder = write_probe(tmp_path)
    answers = []
    for budget in (("--budget", 2.5), ("--calls", 25), ("--seconds", 5, "--costs", "call=0.2")):
        assert run("--probe", folder, *budget, "--json") == 0
        answers.append(last_line(capsys)["plans"])
    assert answers[0] == answers[1] == answers[2]


def test_costs_of_questions_make_asking_the_worse_buy(tmp_path: Path, capsys) -> None:
    folder = write_probe(tmp_path)
    for costs, asks in (("call=1,capture=0,question=0,decode=0", True), ("call=1,question=20", False)):
        assert run("--probe", folder, "--seconds", 30, "--costs", costs, "--json") == 0
        assert bool(last_line(capsys)["plans"][0]["keep"]) == asks


def test_by_score_alone_no_more_images_are_finished_than_used(tmp_path: Path, capsys) -> None:
    folder = write_probe(tmp_path)
    assert run("--probe", folder, "--budget", 3, "--final", "score", "--pick", 2, "--json") == 0
    (plan,) = last_line(capsys)["plans"]
    assert min(plan["keep"].values()) == 2
    assert (plan["final"], plan["pick"]) == ("score", 2)


def test_fewer_seeds_may_be_started(tmp_path: Path, capsys) -> None:
    assert run("--probe", write_probe(tmp_path), "--budget", 3, "--seeds", 4, "--json") == 0
    assert last_line(capsys)["plans"][0]["seeds"] <= 4


def test_the_curve_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("--probe", write_probe(tmp_path / "probe"), "--budget", 2, "--curve", tmp_path / "curve.png") == 0
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "0.5"], "a budget of 0.5 whole images: expected at least 1"),
        (["--seeds", "7"], "--seeds 7: expected 1 to 6"),
        (["--pick", "9"], "--pick 9: expected at most 6"),
        (["--seconds", "3"], "--seconds needs --costs"),
        (["--costs", "call=0"], "--costs call=0: expected seconds from 0, and a call above 0"),
        (["--costs", "step=1"], "--costs step=1: expected name=seconds"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert run("--probe", write_probe(tmp_path), *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffusion-probe: {message}")
    assert error.count("\n") == 1


def test_a_probe_without_trajectories_is_named(tmp_path: Path, capsys) -> None:
    assert run("--probe", write_probe(tmp_path, trajectories_too=False), "--budget", 2) == 2
    assert "made-up@4 has no trajectories" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--budget", "-1"], ["--budget", "x"], ["--pick", "0"], ["--budget", "2", "--calls", "3"]])
def test_values_that_cannot_be_read_are_refused(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
