"""`collect --layers auto`: what it writes and prints, resumed, by several processes, and with options that do not fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffusion_probe.cli import main
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import shard_prompts

PACKAGE = Path(__file__).parents[2]
METRIC = "import numpy as np\n\ndef redness(images, prompts):\n    return [np.asarray(i)[..., 0].mean() / 255 for i in images]\n"


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command: prompts and a metric of the user."""
    (tmp_path / "prompts.txt").write_text("\n".join(f"{number} red cat on the banana" for number in range(60)))
    (tmp_path / "own_metric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)
    return tmp_path


def command(pipeline: Path, folder: str, *more: str) -> list[str]:
    small = ["--steps", "2", "--at", "1,2", "--seeds", "3", "--test-seeds", "3", "--call", '{"height": 32, "width": 32}']
    few = ["--train", "18", "--calibration", "1", "--test", "1", "--metric", "own_metric:redness"]
    return ["collect", "--pipeline", str(pipeline), "--prompts", "prompts.txt", "--out", folder, *few, *small, *more]


def test_layers_are_chosen_once_and_the_images_of_the_choice_are_used_again(
    workdir: Path, saved_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = command(saved_pipeline, "auto", "--layers", "auto", "--layer-prompts", "16", "--most-layers", "3")
    assert main(auto) == 0
    printed = capsys.readouterr().out
    choice = json.loads((workdir / "auto" / "layers.json").read_text())
    kept = [judged["layer"] for judged in choice["layers"] if judged["kept"]]
    assert f"Looking at all {len(choice['layers'])} layers on 16 prompts to choose up to 3." in printed
    assert "48 images to make" in printed
    assert "12 images to make" in printed  # 2 of 18 training prompts, and 2 others
    assert 1 <= len(kept) <= 3
    assert Description.read(workdir / "auto").capture.layers == tuple(kept)
    assert all(set(judged["by_step"]) == {"1", "2"} and judged["layer"] in printed for judged in choice["layers"])

    assert main(command(saved_pipeline, "by-hand", "--layers", ",".join(kept))) == 0
    for path in sorted((workdir / "by-hand").iterdir()):
        assert path.read_bytes() == (workdir / "auto" / path.name).read_bytes()

    capsys.readouterr()
    for path in (workdir / "auto" / "all-layers").iterdir():
        path.unlink()
    (workdir / "auto" / "train-00002.safetensors").unlink()
    assert main(auto) == 0
    printed = capsys.readouterr().out
    assert "Kept" in printed
    assert "6 images to make" in printed
    assert "Looking at" not in printed
    assert main([*auto, "--most-layers", "4"]) == 2
    assert "use the same options, or another folder" in capsys.readouterr().err
    assert main([*auto, "--out", "by-hand"]) == 2
    assert "not chosen by --layers auto" in capsys.readouterr().err


def test_two_processes_choose_what_one_chooses(workdir: Path, saved_pipeline: Path) -> None:
    options = ["--layers", "auto", "--layer-prompts", "12", "--most-layers", "2"]
    assert main(command(saved_pipeline, "one", *options)) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "diffusion_probe"]
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGE}{os.pathsep}{workdir}", "OMP_NUM_THREADS": "1"}
    arguments = [*launch, *command(saved_pipeline, "two", *options)]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Kept") == 1
    for path in sorted((workdir / "one").rglob("*.*")):
        assert path.read_bytes() == (workdir / "two" / path.relative_to(workdir / "one")).read_bytes()
    assert len(shard_prompts(workdir / "two" / "train-00000.safetensors")) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "9"], "--layers auto looks at 9 training prompts: at least 10 are needed"),
        (["--seeds", "2"], "--layers auto needs --seeds of 3 or more, not 2"),
        (["--layers", "auto,down_blocks.*"], "there is no layer 'auto'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, message, workdir, saved_pipeline, capsys) -> None:
    assert main([*command(saved_pipeline, "auto", "--layers", "auto"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (workdir / "auto" / "dataset.json").exists()


def test_the_reference_world_has_layers_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--layers", "auto"]) == 2
    assert "--layers is for --pipeline" in capsys.readouterr().err
