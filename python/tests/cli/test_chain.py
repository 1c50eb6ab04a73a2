"""The commands from collecting to evaluation: what each writes, and its error messages."""

import json
import re

import numpy as np
import pytest
from safetensors import safe_open

from diffusion_probe import cli
from diffusion_probe.data.shards import read_split
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.evaluation.evaluate import BAD_SHARES
from diffusion_probe.evaluation.scores import STEPS, score_collection
from diffusion_probe.fingerprint import fingerprint
from diffusion_probe.probe.manifest import sha256_of, to_json
from diffusion_probe.probe.onnx_probe import OnnxProbe


def manifest_of(world) -> dict:
    return json.loads((world.folder / "probe.json").read_text())


def test_the_manifest_is_complete(world) -> None:
    manifest = manifest_of(world)
    assert (manifest["schema_version"], manifest["name"], manifest["version"]) == (2, "tiny", 3)
    assert manifest["backbone"] == "pictogram"
    assert re.fullmatch("[0-9a-f]{16}", manifest["capture_id"])
    assert manifest["capture_id"] == fingerprint(manifest["capture"])
    assert manifest["conditions_id"] == fingerprint(manifest["conditions"])
    assert manifest["conditions"]["guidance"] == {"classifier_free": 3, "embedded": None}
    assert (manifest["total_steps"], manifest["plans"], manifest["trajectories"]) == (25, [], "trajectories.npz")
    assert [entry["name"] for entry in manifest["inputs"]] == ["attention", "token_mask", "timestep"]
    assert [point["step"] for point in manifest["decision_points"]] == [1, 3, 5, 10, 15]
    assert [entry["step"] for entry in manifest["calibration"]] == [1, 3, 5, 10, 15]
    files = ("model.onnx", "selftest.safetensors", "trajectories.npz")
    assert manifest["files"] == {name: sha256_of(world.folder / name) for name in files}
    assert set(manifest["evaluation"]["steps"]) == {str(step) for step in STEPS}


def test_the_selftest_is_a_request_with_the_expected_scores(world) -> None:
    manifest = manifest_of(world)
    with safe_open(world.folder / manifest["selftest"]["input"], framework="np") as file:
        inputs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata()
    assert metadata["capture_id"] == manifest["capture_id"]
    assert metadata["conditions_id"] == manifest["conditions_id"]
    assert metadata["model"] == "tiny@3"
    assert metadata["step"] == "5"
    scores = OnnxProbe(world.folder).score(inputs)
    assert scores == pytest.approx(manifest["selftest"]["scores"], abs=manifest["selftest"]["tolerance"])


def test_the_trajectories_are_the_scores_of_each_sample_at_every_point(world) -> None:
    runs = np.load(world.folder / "trajectories.npz")
    collection = read_split(world.data, "calibration")
    assert runs["points"].tolist() == [1, 3, 5, 10, 15]
    assert list(zip(runs["prompt"], runs["seed"], strict=True)) == list(np.ndindex(collection.quality.shape))
    assert runs["quality"] == pytest.approx(collection.quality.ravel(), abs=1e-3)
    scores = score_collection(OnnxProbe(world.folder), collection, 10).ravel()
    assert runs["scores"][:, 3] == pytest.approx(scores, abs=1e-3)


def test_the_calibration_is_sorted_and_holds_at_most_one_good_sample_per_prompt(world) -> None:
    collection = read_split(world.data, "calibration")
    rng = np.random.default_rng(0)
    quality = rng.random(collection.quality.shape).astype(np.float32)
    collection.arrays["quality"] = quality.ravel()
    scores = quality + rng.normal(0, 0.2, quality.shape)
    entry = calibration_at(5, scores, collection.quality, collection.description.metric.good_at)
    assert entry["captions"] == len(scores)
    assert entry["samples"] == scores.size
    assert entry["scores"] == sorted(entry["scores"])
    assert (entry["scores"][0], entry["scores"][-1]) == pytest.approx((scores.min(), scores.max()), abs=1e-5)
    assert entry["good_scores"] == sorted(entry["good_scores"])
    assert 0 < len(entry["good_scores"]) <= len(scores)
    assert entry["p_good"]["probability"] == sorted(entry["p_good"]["probability"])
    assert len(entry["p_good"]["score"]) == len(entry["p_good"]["probability"])


def test_the_report_has_every_method_and_figure(world) -> None:
    report = json.loads((world.folder / "report.json").read_text())
    assert (report["split"], report["prompts"], report["seeds"]) == ("test", 12, 8)
    for step in STEPS:
        entry = report["steps"][str(step)]
        assert set(entry["methods"]) >= {
            "probe",
            "prompt_only",
            "attend_and_excite",
            "guidance_difference",
            "preview_quality",
            "oracle",
        }
        figures = entry["methods"]["probe"]
        assert {f"auc_{share * 100:.0f}" for share in BAD_SHARES} <= set(figures)
        assert {"value", "low", "high"} == set(figures["srcc"])
        assert entry["methods"]["oracle"]["gap_closed_8"]["value"] == pytest.approx(1)
        assert entry["equal_compute"]["8"]["calls"] == 8 * step + 25 - step
        assert [row["alpha"] for row in entry["false_drop"]] == [0.01, 0.02, 0.05, 0.1]
    page = (world.folder / "report.md").read_text()
    assert "Training kept the weights of step 6: the last step, since --patience 0" in page
    assert "## Step 5 of 25" in page
    for plot in ("gap.png", "auc.png", "calibration.png", "scatter.png"):
        assert plot in page
        assert (world.folder / plot).read_bytes().startswith(b"\x89PNG")


def test_the_test_scores_are_written_beside_the_report(world) -> None:
    scores = json.loads((world.folder / "test-scores.json").read_text())
    collection = read_split(world.data, "test")
    assert scores["captions"] == collection.prompts
    assert scores["good_at"] == collection.description.metric.good_at
    assert np.array(scores["quality"]) == pytest.approx(collection.quality, abs=1e-5)
    assert set(scores["steps"]) == {str(point["step"]) for point in OnnxProbe(world.folder).manifest["decision_points"]}
    expected = score_collection(OnnxProbe(world.folder), collection, 5)
    assert np.array(scores["steps"]["5"]["scores"]) == pytest.approx(expected, abs=2e-5)


def test_a_number_that_is_not_finite_becomes_null() -> None:
    assert json.loads(to_json({"value": float("nan")})) == {"value": None}


def test_examples_are_requests_that_the_probe_scores(world, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = read_split(world.data, "test")
    scores = score_collection(OnnxProbe(world.folder), collection, 5)
    median = float(np.median(scores))
    monkeypatch.setattr("diffusion_probe.evaluation.examples.threshold_of", lambda entry, alpha: median)
    requests, document = tmp_path / "examples", tmp_path / "examples.json"
    options = ["--data", world.data, "--folder", world.folder, "--out", requests, "--document", document]
    assert cli.main(["examples", *map(str, options)]) == 0
    for name, samples in {"kept": 1, "dropped": 1, "group": collection.seeds}.items():
        with safe_open(requests / f"{name}.safetensors", framework="np") as file:
            inputs = {tensor: file.get_tensor(tensor) for tensor in file.keys()}  # noqa: SIM118 (not a mapping)
        own = OnnxProbe(world.folder).score(inputs)
        assert own.shape == (samples,)
        assert (own >= median).all() if name == "kept" else (own < median).any()
    assert json.loads(document.read_text())["requests"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        *[[name] for name in ("collect", "train", "distill", "export", "calibrate", "recalibrate", "evaluate", "compare")],
        *[[name] for name in ("examples", "selftest", "reference")],
        ["overhead"],
        ["study"],
        ["study", "false-drop"],
        ["study", "selection"],
        ["select"],
        *[["reference", name] for name in ("scenes", "train-backbone")],
        *[["reference", name] for name in ("train-reward", "sample", "captions", "export")],
    ],
    ids=" ".join,
)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: diffusion-probe" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "--data", "nowhere"], "no dataset.json in nowhere"),
        (["export", "--checkpoint", "nowhere.pt"], "no probe checkpoint at nowhere.pt"),
        (["calibrate", "--folder", "nowhere"], "no probe.json in nowhere"),
        (["evaluate", "--folder", "nowhere"], "no probe.json in nowhere"),
        (["collect", "--reference", "nowhere"], "no reference.json in nowhere"),
        (["reference", "export", "--backbone", "nowhere.pt"], "no backbone checkpoint at nowhere.pt"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, message, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffusion-probe: {message}")
    assert error.count("\n") == 1


def test_contact_sheets_of_scenes_and_samples_are_written(world, tmp_path, capsys) -> None:
    assert cli.main(["reference", "scenes", "--count", "3", "--out", str(tmp_path / "scenes.png")]) == 0
    assert cli.main(["reference", "sample", "--count", "2", "--out", str(tmp_path / "sample.png"), *world.source]) == 0
    for name in ("scenes.png", "sample.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert name in capsys.readouterr().out or name == "sample.png"


def test_wrong_steps_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["collect", "--at", "one,two"])
    assert stop.value.code == 2
    assert "expected steps such as 1,3,5" in capsys.readouterr().err
