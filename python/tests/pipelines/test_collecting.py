"""Collecting from a pipeline: by the command, resumed, shared by processes, with a metric that fails."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.data.collect import Share, collect, missing_shards
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import read_split, shard_prompts
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.metrics import Judge
from diffusion_probe.probe.manifest import Metric

STEPS = (1, 2)
COUNTS = {"train": 4, "calibration": 2}
SEEDS = {"train": 2, "calibration": 2}
PACKAGE = Path(__file__).parents[2]
# Notes what each process judges; once, the second process is killed after its first shard.
DEADLY_METRIC = """
import os, pathlib, signal
from own_metric import redness as judge
deadly, first = pathlib.Path("deadly"), pathlib.Path("two/train-00001.safetensors")

def redness(images, prompts):
    rank = os.environ["RANK"]
    if rank == "1" and deadly.exists() and first.exists():
        deadly.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(f"judged-{rank}", "a") as file:
        file.writelines(f"{prompt}\\n" for prompt in prompts)
    return judge(images, prompts)
"""


def command(pipeline: Path, prompts: Path, folder: Path, metric: str = "own_metric:redness") -> list[str]:
    small = ["--steps", "2", "--at", "1,2", "--seeds", "1", "--test-seeds", "1", "--call", '{"height": 32, "width": 32}']
    few = ["--train", "9", "--calibration", "1", "--test", "1"]
    files = ["--pipeline", str(pipeline), "--prompts", str(prompts), "--out", str(folder)]
    return ["collect", *files, "--metric", metric, *few, *small]


def launched(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The command in two processes, by what `accelerate launch` starts; there it starts one process where there is no GPU."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "diffusion_probe"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*launch, *arguments], env=environment, capture_output=True, text=True)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prompts and a metric of the user's own, which the command is started in."""
    (tmp_path / "prompts.txt").write_text("\n".join(f"{number} red cat on the banana" for number in range(60)))
    (tmp_path / "own_metric.py").write_text(
        "import numpy as np\n\ndef redness(images, prompts):\n    return [np.asarray(i)[..., 0].mean() / 255 for i in images]\n"
    )
    (tmp_path / "deadly_metric.py").write_text(DEADLY_METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)
    return tmp_path


def test_two_processes_make_what_one_makes_also_when_one_was_killed(
    workplace: Path, saved_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, folder = workplace / "prompts.txt", workplace / "two"
    assert main(command(saved_pipeline, prompts, workplace / "one")) == 0
    told = capsys.readouterr().out
    assert told.startswith("11 images to make: about")
    assert Description.read(workplace / "one").backbone == "tiny-sd15"

    (workplace / "deadly").touch()
    killed = launched(command(saved_pipeline, prompts, folder, "deadly_metric:redness"))
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr
    assert (folder / "train-00001.safetensors").exists()
    assert not (folder / "test-00000.safetensors").exists()
    written = (folder / "train-00001.safetensors").stat().st_mtime_ns

    resumed = launched(command(saved_pipeline, prompts, folder, "deadly_metric:redness"))
    assert resumed.returncode == 0, resumed.stderr
    assert "hours on 2" in resumed.stdout
    assert (folder / "train-00001.safetensors").stat().st_mtime_ns == written
    names = {path.name for path in (workplace / "one").glob("*.safetensors")}
    assert names == {path.name for path in folder.glob("*.safetensors")}
    assert sum(name.startswith("train") for name in names) == 2
    for name in names:
        assert (workplace / "one" / name).read_bytes() == (folder / name).read_bytes()
    first, second = ((workplace / f"judged-{rank}").read_text().splitlines() for rank in "01")
    assert second == shard_prompts(folder / "train-00001.safetensors") + shard_prompts(folder / "test-00000.safetensors")
    assert set(first) >= {
        *shard_prompts(folder / "train-00000.safetensors"),
        *shard_prompts(folder / "calibration-00000.safetensors"),
    }
    assert not set(first) & set(shard_prompts(folder / "train-00001.safetensors"))


def test_processes_share_the_shards_and_make_none_twice(make_source, tmp_path: Path) -> None:
    source = make_source("sd15")
    shares = [missing_shards(source, tmp_path, COUNTS, Share(index, 3), shard_size=1) for index in range(3)]
    paths = [shard.path for share in shares for shard in share]
    assert sorted(len(share) for share in shares) == [2, 2, 2]
    assert set(paths) == {shard.path for shard in missing_shards(source, tmp_path, COUNTS, shard_size=1)}
    collect(source, tmp_path, COUNTS, SEEDS, STEPS, 4, Share(1, 3), 1)
    assert missing_shards(source, tmp_path, COUNTS, Share(1, 3), 1) == []
    assert missing_shards(source, tmp_path, COUNTS, Share(0, 3), 1) == shares[0]


def test_a_longer_list_of_prompts_remakes_the_last_shard_and_another_list_is_refused(make_source, tmp_path: Path) -> None:
    source = make_source("sd15")
    collect(source, tmp_path, {"train": 3}, SEEDS, STEPS, 4, shard_size=2)
    kept = (tmp_path / "train-00000.safetensors").stat().st_mtime_ns
    collect(source, tmp_path, {"train": 4}, SEEDS, STEPS, 4, shard_size=2)
    assert (tmp_path / "train-00000.safetensors").stat().st_mtime_ns == kept
    assert read_split(tmp_path, "train").prompts == source.prompts("train", 4)
    with pytest.raises(ValueError, match="samples of other prompts"):
        missing_shards(source, tmp_path, {"train": 4}, shard_size=1)


def test_a_metric_that_fails_on_a_sample_leaves_it_without_quality(make_source, tmp_path: Path) -> None:
    def moody(images, prompts):
        if "a cat" in prompts:
            raise RuntimeError("no cats")
        return [float("inf") if prompt == "two dog" else 0.5 for prompt in prompts]

    judge = Judge(moody)
    source = make_source("sd15", judge)
    collect(source, tmp_path, {"train": 4, "calibration": 2}, SEEDS, STEPS, 8)
    collection = read_split(tmp_path, "train")
    assert np.isnan(collection.quality).tolist() == [[True] * 2, [False] * 2, [True] * 2, [False] * 2]
    assert judge.failed == 4
    assert judge.first_failure == "RuntimeError: no cats"
    assert collection.scored().prompts == ["a red dog on the banana", "three key"]
    calibration = read_split(tmp_path, "calibration").with_metric(Metric("moody", (0.0, 1.0), 0.1))
    calibration.arrays["quality"][0] = np.nan
    entry = calibration_at(1, np.array([[0.1, 0.2], [0.3, 0.4]]), calibration)
    assert (entry["samples"], entry["good_scores"], entry["scores"][0]) == (3, [0.4], 0.2)


def test_a_metric_that_always_fails_ends_the_collection(make_source, tmp_path: Path) -> None:
    source = make_source("sd15", Judge(lambda images, prompts: [0.5]))
    collect(source, tmp_path, {"train": 1}, {"train": 1}, STEPS, 1)
    broken = make_source("sd15", Judge(lambda images, prompts: [0.5] * 3))
    with pytest.raises(ValueError, match="failed on all 2 images of train-00000"):
        collect(broken, tmp_path / "broken", {"train": 1}, SEEDS, STEPS, 2)
    assert not list((tmp_path / "broken").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--metric", "nothing"], "there is no metric 'nothing'"),
        (["--prompts", "nowhere.txt"], "[Errno 2]"),
        (["--pipeline", "./nowhere"], "the pipeline ./nowhere cannot be loaded"),
        (["--at", "1,9"], "steps to watch [1, 9]: expected steps from 1 to 2"),
    ],
    ids=["metric", "prompts", "pipeline", "steps"],
)
def test_a_mistake_is_one_line(changes, message: str, workplace: Path, saved_pipeline: Path, capsys) -> None:
    assert main([*command(saved_pipeline, workplace / "prompts.txt", workplace / "out"), *changes]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"diffusion-probe: {message}")
    assert not (workplace / "out").exists()


def test_a_pipeline_needs_prompts_and_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--pipeline", "somewhere", "--metric", "clip"]) == 2
    assert "--pipeline needs --prompts too" in capsys.readouterr().err
