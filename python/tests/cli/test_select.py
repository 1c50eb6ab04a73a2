"""The command `select`: what it writes, how it resumes, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from diffusion_probe.cli import main

CAPTIONS = ["a cat on a blue background", "two keys on a green background", "an owl above a dog on a pink background"]
PLAN = ["--seeds", "4", "--keep", "1=3,3=2"]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def select(world):
    """The command in the tiny world, with its probe in this process."""

    def run(*arguments: object, probe: bool = True) -> int:
        own = ["--probe", str(world.folder.parent)] if probe else []
        return main(["select", *map(str, arguments), *own, *world.source])

    return run


def record_of(folder: Path) -> dict:
    return json.loads((folder / "selection.json").read_text())


def errors(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_prompt_is_written_with_its_images_its_sheet_and_its_record(select, tmp_path: Path, capsys) -> None:
    assert select(CAPTIONS[0], *PLAN, "--out", tmp_path, "--first-seed", 7) == 0
    record = record_of(tmp_path)
    assert (record["prompt"], record["outcome"], record["model"], record["failures"]) == (CAPTIONS[0], "scored", "tiny@3", [])
    assert (record["pipeline"], record["budget"], record["expected"]) == ("pictogram", None, None)
    assert record["plan"] == {"seeds": 4, "keep": {"1": 3, "3": 2}}
    stages = [{name: value for name, value in stage.items() if name != "seconds"} for stage in record["stages"]]
    assert stages == [
        {"step": 1, "alive": 4, "kept": 3, "outcome": "scored", "calls": 4},
        {"step": 3, "alive": 3, "kept": 2, "outcome": "scored", "calls": 10},
    ]
    assert record["calls"] == 54
    assert (record["best_of_k"]["k"], record["best_of_k"]["calls"], record["best_of_k"]["k_for_these_calls"]) == (4, 100, 2.16)
    parts = record["seconds_of"]
    assert set(parts) == {"draw", "ask", "measure", "write"}
    assert record["seconds"] == pytest.approx(parts["draw"] + parts["measure"] + parts["write"], abs=1e-3)
    assert 0 < record["stages"][0]["seconds"] < record["stages"][1]["seconds"] < parts["draw"]
    assert [sample["seed"] for sample in record["samples"]] == [7, 8, 9, 10]
    finished = [sample for sample in record["samples"] if sample["dropped_at"] is None]
    assert {sample["image"] for sample in finished} == {path.name for path in tmp_path.glob("rank-*.png")}
    assert sorted(sample["rank"] for sample in finished) == [1, 2]
    best = next(sample for sample in finished if sample["rank"] == 1)
    assert best["quality"] == max(sample["quality"] for sample in finished)
    assert Image.open(tmp_path / best["image"]).size == (64, 64)
    width, height = Image.open(tmp_path / "sheet.png").size
    assert width > 4 * 128
    assert height > 128
    assert capsys.readouterr().out.startswith(f"{tmp_path / best['image']}: seed {best['seed']}, quality ")


def test_a_file_is_resumed_and_other_settings_are_refused(select, tmp_path: Path, capsys) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("\n".join([CAPTIONS[0], "", CAPTIONS[1], CAPTIONS[0]]))
    command = ["--prompts", prompts, "--out", out]
    assert select(*command, *PLAN) == 0
    assert "2 prompts, mean quality of the selected images 0." in capsys.readouterr().out
    assert [record_of(out / name)["prompt"] for name in ("0001", "0002")] == CAPTIONS[:2]

    written = (out / "0001" / "sheet.png").stat().st_mtime_ns
    (out / "0002" / "selection.json").unlink()
    prompts.write_text("\n".join(CAPTIONS))
    assert select(*command, *PLAN) == 0
    assert (out / "0001" / "sheet.png").stat().st_mtime_ns == written
    assert [record_of(folder)["prompt"] for folder in sorted(out.iterdir())] == CAPTIONS

    assert select(*command, "--seeds", 4, "--keep", "1=1") == 2
    assert "0001 holds a selection of other settings: keep.1 (now 1, before 3); keep.3 (now unknown, before 2)" in errors(capsys)
    prompts.write_text("\n".join(reversed(CAPTIONS)))
    assert select(*command, *PLAN) == 2
    assert f"prompt (now {CAPTIONS[2]}, before {CAPTIONS[0]})" in errors(capsys)
    assert record_of(out / "0001")["prompt"] == CAPTIONS[0]

    assert select(*command, "--seeds", 4, "--keep", "1=1", "--fresh") == 0
    assert len(list((out / "0001").glob("rank-*.png"))) == 1
    assert record_of(out / "0001")["prompt"] == CAPTIONS[2]


QUALITY = [[0.1, 0.2, 0.9, 0.4], [0.5, 0.3, 0.2, 0.6]]  # by prompt and seed


def give_qualities(folder: Path) -> list[float]:
    """Replace the qualities of the tiny world, which are all about the same; returns those of the best."""
    best = []
    for prompt in range(2):
        path = folder / f"{prompt + 1:04d}" / "selection.json"
        record = json.loads(path.read_text())
        finished = [sample for sample in record["samples"] if sample["rank"]]
        finished.sort(key=lambda sample: -QUALITY[prompt][sample["seed"]])
        for rank, sample in enumerate(finished, 1):
            sample |= {"rank": rank, "quality": QUALITY[prompt][sample["seed"]]}
        best.append(finished[0]["quality"])
        path.write_text(json.dumps(record))
    return best


def test_runs_are_compared(select, world, tmp_path: Path, capsys) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(CAPTIONS[:2]))
    best = {}
    for name, plan in {"plan": PLAN, "two": ["--best-of", "2"], "four": ["--best-of", "4"]}.items():
        assert select("--prompts", prompts, "--out", tmp_path / name, *plan, probe=name == "plan") == 0
        best[name] = sum(give_qualities(tmp_path / name)) / 2
    capsys.readouterr()
    assert main(["study", "selection", *(str(tmp_path / name) for name in ("plan", "four", "two")), "--json"]) == 0
    output = capsys.readouterr().out
    plan, four, two = json.loads(output.splitlines()[-1])["rows"]
    assert (plan["plan"], plan["calls"], two["plan"], two["calls"]) == ("4 1=3 3=2", 54, "2", 50)
    assert (four["gap_closed"], two["seconds_of_the_last"], plan["failed_open"]) == (1, 1, 0)
    assert [row["quality"] for row in (plan, four, two)] == pytest.approx([best["plan"], 0.75, 0.35])
    assert [row["gap_closed"] for row in (plan, two)] == pytest.approx([(best["plan"] - 0.4) / 0.35, -0.05 / 0.35], abs=1e-3)
    assert main(["study", "selection", str(tmp_path / "plan" / "0001"), str(tmp_path / "two")]) == 2
    assert "selections of other prompts" in errors(capsys)
    assert main(["study", "selection", str(world.root)]) == 2
    assert "no selection.json" in errors(capsys)


def test_without_a_service_everything_is_kept_and_said(select, tmp_path: Path, capsys) -> None:
    assert select(CAPTIONS[0], "--budget", 2, "--service", NOBODY, "--out", tmp_path, probe=False) == 0
    assert "1 of 1 failed open, and kept what could not be scored; the first: no_probe" in capsys.readouterr().out
    record = record_of(tmp_path)
    assert (record["outcome"], record["calls"], len(list(tmp_path.glob("rank-*.png")))) == ("failed_open", 50, 2)
    assert record["failures"][0]["reason"] == "no_probe"


def test_the_service_is_asked(select, world, start_service, tmp_path: Path, capsys) -> None:
    service = ["--service", start_service(world.folder.parents[1]).origin, "--deadline-ms", "60000", "--out", tmp_path]
    assert select(CAPTIONS[0], *PLAN, *service, probe=False) == 0
    record = record_of(tmp_path)
    assert (record["outcome"], record["model"], record["differences"], record["calls"]) == ("scored", "tiny@3", {}, 54)
    assert {one["reason"] for sample in record["samples"] for one in sample["judgements"]} == {"in_plan", "not_in_plan"}
    assert select(CAPTIONS[1], "--budget", 2, *service, "--fresh", probe=False) == 2
    assert "the probe has no plan for the budget 2" in errors(capsys)
    assert select(CAPTIONS[1], *PLAN, *service, "--fresh", "--model", "other", probe=False) == 2
    assert "the service serves no probe other" in errors(capsys)


def test_a_folder_of_versions_is_that_of_the_highest(select, world, tmp_path: Path) -> None:
    (world.folder.parent / "notes").mkdir(exist_ok=True)
    assert select(CAPTIONS[0], *PLAN, "--out", tmp_path) == 0
    assert record_of(tmp_path)["model"] == "tiny@3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a prompt or --prompts is needed, and not both"),
        ([CAPTIONS[0]], "what to draw for is not clear"),
        ([CAPTIONS[0], "--budget", "2", "--best-of", "2"], "what to draw for is not clear"),
        ([CAPTIONS[0], "--seeds", "2"], "what to draw for is not clear"),
        ([CAPTIONS[0], "--budget", "2"], "--service or --probe is needed"),
        ([CAPTIONS[0], "--budget", "2", "--probe", "nowhere"], "no probe.json in nowhere"),
        ([CAPTIONS[0], "--best-of", "2", "--metric", "clip"], "--metric is for a pipeline of diffusers"),
        ([CAPTIONS[0], "--best-of", "2", "--steps", "9"], "--steps is for a pipeline of diffusers"),
        (["a zebra", "--best-of", "2"], "the reference world cannot draw 'a zebra'"),
        (["--prompts", "nowhere.txt", "--best-of", "2"], "[Errno 2]"),
        ([CAPTIONS[0], "--best-of", "2", "--pipeline", "./nowhere"], "the pipeline ./nowhere cannot be loaded"),
    ],
    ids=["nothing", "no plan", "two plans", "no keep", "nobody", "no probe", "metric", "steps", "caption", "file", "pipeline"],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, select, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert select(*arguments, "--out", out, probe=False) == 2
    assert errors(capsys).startswith(f"diffusion-probe: {message}")
    assert not out.exists()


def test_a_budget_without_a_plan_says_where_plans_come_from(select, tmp_path: Path, capsys) -> None:
    assert select(CAPTIONS[0], "--budget", 2, "--out", tmp_path) == 2
    assert "tiny@3: the probe has no plan for the budget 2: it has none, 'diffusion-probe plan --write' makes them" in errors(
        capsys
    )


@pytest.mark.parametrize(
    "option", [["--keep", "1:3"], ["--keep", "x=3"], ["--budget", "0"], ["--best-of", "0"], ["--seeds", "2.5"]]
)
def test_an_option_of_another_form_is_refused(option: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["select", CAPTIONS[0], *option])
    assert stop.value.code == 2
    assert "expected" in errors(capsys)


def test_captions_of_a_split_are_printed(capsys) -> None:
    assert main(["reference", "captions", "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == 3
    assert main(["reference", "captions", "--count", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[:1]
