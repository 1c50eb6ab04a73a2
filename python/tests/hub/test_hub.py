"""`pull` and `push` against a local server that speaks the hub's HTTP API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from diffusion_probe.cli import main
from diffusion_probe.hub import HubAddress, pull, push

ADDRESS = HubAddress("team/tiny-probe")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_pushed_is_pulled(hub, api, probe, tmp_path) -> None:
    assert push(probe, ADDRESS, private=True, api=api)
    assert hub.private == {"team/tiny-probe": True}
    assert set(hub.repositories["team/tiny-probe"]) == names(probe) - {"notes.txt"} | {"README.md"}
    folder = pull(ADDRESS, tmp_path / "models", api)
    assert folder == tmp_path / "models" / "tiny" / "3"
    assert names(folder) == names(probe) - {"notes.txt"}
    assert all((folder / name).read_bytes() == (probe / name).read_bytes() for name in names(folder))
    assert names(tmp_path / "models") == {"tiny"}, "nothing temporary is left"


def test_the_card_has_the_report_and_how_to_pull(hub, api, probe) -> None:
    push(probe, ADDRESS, api=api)
    card = hub.repositories["team/tiny-probe"]["README.md"].decode()
    assert card.startswith("---\nlibrary_name: diffusion-probe\n")
    assert "diffusion-probe pull hf://team/tiny-probe --into models" in card
    assert "| steps | 5 of 25 |" in card
    assert "SRCC 0.7" in card


def test_a_revision_is_asked_for_and_written(hub, api, probe, tmp_path) -> None:
    address = HubAddress.parse("hf://team/tiny-probe@v3")
    push(probe, address, api=api)
    pull(address, tmp_path / "models", api)
    assert hub.revisions == ["v3", "v3"]


def test_the_same_probe_may_be_pulled_again_but_no_other_takes_its_place(hub, api, probe, tmp_path) -> None:
    push(probe, ADDRESS, api=api)
    models = tmp_path / "models"
    assert pull(ADDRESS, models, api) == pull(ADDRESS, models, api)
    manifest = json.loads(hub.repositories["team/tiny-probe"]["probe.json"])
    hub.repositories["team/tiny-probe"]["probe.json"] = json.dumps({**manifest, "backbone": "other"}).encode()
    with pytest.raises(ValueError, match="holds another probe"):
        pull(ADDRESS, models, api)
    assert json.loads((models / "tiny" / "3" / "probe.json").read_text())["backbone"] == "tiny"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.update({"model.onnx": b"weight"}), "model.onnx is not the file"),
        (lambda files: files.pop("model.onnx"), "lacks the file model.onnx"),
        (lambda files: files.pop("probe.json"), "holds no probe.json"),
        (lambda files: files.update({"probe.json": b'{"files": {"../model.onnx": "0"}}'}), "expected a plain file name"),
        (lambda files: files.update({"probe.json": b'{"name": "../x", "version": 1, "files": {}}'}), "expected a name"),
        (lambda files: files.update({"probe.json": b"{"}), "Expecting"),
    ],
)
def test_an_unsound_probe_does_not_reach_the_model_repository(hub, api, probe, tmp_path, change, message) -> None:
    push(probe, ADDRESS, api=api)
    change(hub.repositories["team/tiny-probe"])
    models = tmp_path / "models"
    with pytest.raises(ValueError, match=message):
        pull(ADDRESS, models, api)
    assert list(models.iterdir()) == []


def test_a_changed_file_is_not_pushed(hub, api, probe) -> None:
    (probe / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(ValueError, match=r"model.onnx is not the file"):
        push(probe, ADDRESS, api=api)
    assert hub.repositories == {}


def test_an_unknown_repository_is_named(api, tmp_path) -> None:
    with pytest.raises(ValueError, match="hf://team/none cannot be read"):
        pull(HubAddress("team/none"), tmp_path, api)


def test_a_hub_that_does_not_answer_is_a_connection_error(tmp_path) -> None:
    with pytest.raises(ConnectionError, match="the hub cannot be asked"):
        pull(ADDRESS, tmp_path, HfApi(endpoint="http://127.0.0.1:9"))


@pytest.mark.parametrize("text", ["team/tiny", "hf://tiny", "hf://team/tiny@", "hf://a/b/c", "https://x/y", "hf://../x@y z"])
def test_other_addresses_are_refused(text: str, tmp_path, capsys) -> None:
    assert main(["pull", text, "--into", str(tmp_path)]) == 2
    assert "expected hf://organisation/name" in capsys.readouterr().err


def test_the_commands_ask_the_hub_of_the_environment(hub, probe, tmp_path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.origin, "HF_TOKEN": "secret", "HF_HUB_DISABLE_XET": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "diffusion_probe", *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    run("push", str(probe), "hf://team/tiny-probe")
    models = tmp_path / "models"
    assert run("pull", "hf://team/tiny-probe", "--into", str(models)) == str(models / "tiny" / "3")
