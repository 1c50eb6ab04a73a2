"""Collecting from a pipeline: by the command, resumed, by several processes, and with a metric that fails."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.data.collect import Worker, collect, pending_shards
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import read_split, shard_prompts
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.metrics.quality import QualityEvaluator

STEPS = (1, 2)
COUNTS = {"train": 4, "calibration": 2}
SEEDS = {"train": 2, "calibration": 2}
PACKAGE = Path(__file__).parents[2]
# Records which prompts each process evaluates. The second process is killed once, after its first shard.
KILLING_METRIC = """
import os, pathlib, signal
from own_metric import redness as evaluate
killing, first = pathlib.Path("killing"), pathlib.Path("two/train-00001.safetensors")

def redness(images, prompts):
    rank = os.environ["RANK"]
    if rank == "1" and killing.exists() and first.exists():
        killing.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(f"evaluated-{rank}", "a") as file:
        file.writelines(f"{prompt}\\n" for prompt in prompts)
    return evaluate(images, prompts)
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
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command: prompts and a metric of the user."""
    (tmp_path / "prompts.txt").write_text("\n".join(f"{number} red cat on the banana" for number in range(60)))
    (tmp_path / "own_metric.py").write_text(
        "import numpy as np\n\ndef redness(images, prompts):\n    return [np.asarray(i)[..., 0].mean() / 255 for i in images]\n"
    )
    (tmp_path / "killing_metric.py").write_text(KILLING_METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)
    return tmp_path


def test_two_processes_write_what_one_writes_even_if_one_was_killed(
    workdir: Path, saved_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, folder = workdir / "prompts.txt", workdir / "two"
    assert main(command(saved_pipeline, prompts, workdir / "one")) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("11 images to make: about")
    assert Description.read(workdir / "one").backbone == "tiny-sd15"

    (workdir / "killing").touch()
    killed = launched(command(saved_pipeline, prompts, folder, "killing_metric:redness"))
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr
    assert (folder / "train-00001.safetensors").exists()
    assert not (folder / "test-00000.safetensors").exists()
    written = (folder / "train-00001.safetensors").stat().st_mtime_ns

    resumed = launched(command(saved_pipeline, prompts, folder, "killing_metric:redness"))
    assert resumed.returncode == 0, resumed.stderr
    assert "hours on 2" in resumed.stdout
    assert (folder / "train-00001.safetensors").stat().st_mtime_ns == written
    names = {path.name for path in (workdir / "one").glob("*.safetensors")}
    assert names == {path.name for path in folder.glob("*.safetensors")}
    assert sum(name.startswith("train") for name in names) == 2
    for name in names:
        assert (workdir / "one" / name).read_bytes() == (folder / name).read_bytes()
    first, second = ((workdir / f"evaluated-{rank}").read_text().splitlines() for rank in "01")
    assert second == shard_prompts(folder / "train-00001.safetensors") + shard_prompts(folder / "test-00000.safetensors")
    assert set(first) >= {
        *shard_prompts(folder / "train-00000.safetensors"),
        *shard_prompts(folder / "calibration-00000.safetensors"),
    }
    assert not set(first) & set(shard_prompts(folder / "train-00001.safetensors"))


def test_each_shard_belongs_to_one_process(make_source, tmp_path: Path) -> None:
    source = make_source("sd15")
    workers = [pending_shards(source, tmp_path, COUNTS, Worker(index, 3), shard_size=1) for index in range(3)]
    paths = [shard.path for worker in workers for shard in worker]
    assert sorted(len(worker) for worker in workers) == [2, 2, 2]
    assert set(paths) == {shard.path for shard in pending_shards(source, tmp_path, COUNTS, shard_size=1)}
    collect(source, tmp_path, COUNTS, SEEDS, STEPS, 4, Worker(1, 3), 1)
    assert pending_shards(source, tmp_path, COUNTS, Worker(1, 3), 1) == []
    assert pending_shards(source, tmp_path, COUNTS, Worker(0, 3), 1) == workers[0]


def test_added_prompts_remake_the_last_shard_and_other_prompts_are_refused(make_source, tmp_path: Path) -> None:
    source = make_source("sd15")
    collect(source, tmp_path, {"train": 3}, SEEDS, STEPS, 4, shard_size=2)
    kept = (tmp_path / "train-00000.safetensors").stat().st_mtime_ns
    collect(source, tmp_path, {"train": 4}, SEEDS, STEPS, 4, shard_size=2)
    assert (tmp_path / "train-00000.safetensors").stat().st_mtime_ns == kept
    assert read_split(tmp_path, "train").prompts == source.prompts("train", 4)
    with pytest.raises(ValueError, match="samples of other prompts"):
        pending_shards(source, tmp_path, {"train": 4}, shard_size=1)


def test_a_metric_that_fails_on_a_sample_leaves_it_without_quality(make_source, tmp_path: Path) -> None:
    def failing(images, prompts):
        if "a cat" in prompts:
            raise RuntimeError("no cats")
        return [float("inf") if prompt == "two dog" else 0.5 for prompt in prompts]

    evaluator = QualityEvaluator(failing)
    source = make_source("sd15", evaluator)
    collect(source, tmp_path, {"train": 4, "calibration": 2}, SEEDS, STEPS, 8)
    collection = read_split(tmp_path, "train")
    assert np.isnan(collection.quality).tolist() == [[True] * 2, [False] * 2, [True] * 2, [False] * 2]
    assert evaluator.failed == 4
    assert evaluator.first_failure == "RuntimeError: no cats"
    assert collection.with_quality().prompts == ["a red dog on the banana", "three key"]
    calibration = read_split(tmp_path, "calibration")
    calibration.arrays["quality"][0] = np.nan
    entry = calibration_at(1, np.array([[0.1, 0.2], [0.3, 0.4]]), calibration.quality, good_at=0.1)
    assert (entry["samples"], entry["good_scores"], entry["scores"][0]) == (3, [0.4], 0.2)


def test_a_metric_that_always_fails_ends_the_collection(make_source, tmp_path: Path) -> None:
    source = make_source("sd15", QualityEvaluator(lambda images, prompts: [0.5]))
    collect(source, tmp_path, {"train": 1}, {"train": 1}, STEPS, 1)
    broken = make_source("sd15", QualityEvaluator(lambda images, prompts: [0.5] * 3))
    with pytest.raises(ValueError, match="failed on all 2 images of train-00000"):
        collect(broken, tmp_path / "broken", {"train": 1}, SEEDS, STEPS, 2)
    assert not list((tmp_path / "broken").glob("*.safetensors"))


def test_maps_that_are_not_finite_are_refused_with_the_name_of_the_sample(make_source, tmp_path: Path, monkeypatch) -> None:
    source = make_source("sd15")
    generate = source.generate

    def spoilt(prompts, seeds, steps):
        samples = generate(prompts, seeds, steps)
        chosen = [prompt == "two dog" and seed == 1 for prompt, seed in zip(prompts, seeds, strict=True)]
        samples.attention[chosen, 1, 0, 0] = np.nan
        return samples

    monkeypatch.setattr(source, "generate", spoilt)
    with pytest.raises(ValueError, match="the attention of seed 1 of the train prompt 'two dog' is not finite"):
        collect(source, tmp_path, {"train": 4}, SEEDS, STEPS, 4)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--metric", "nothing"], "there is no metric 'nothing'"),
        (["--prompts", "nowhere.txt"], "[Errno 2]"),
        (["--pipeline", "./nowhere"], "the pipeline ./nowhere cannot be loaded"),
        (["--at", "1,9"], "steps to capture [1, 9]: expected steps from 1 to 2"),
    ],
    ids=["metric", "prompts", "pipeline", "steps"],
)
def test_a_mistake_is_one_line(changes, message: str, workdir: Path, saved_pipeline: Path, capsys) -> None:
    assert main([*command(saved_pipeline, workdir / "prompts.txt", workdir / "out"), *changes]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"diffusion-probe: {message}")
    assert not (workdir / "out").exists()


def test_a_pipeline_needs_prompts_and_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--pipeline", "somewhere", "--metric", "clip"]) == 2
    assert "--pipeline needs --prompts too" in capsys.readouterr().err
