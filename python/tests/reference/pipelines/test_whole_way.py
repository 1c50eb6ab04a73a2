"""The whole way of docs/train-your-own.md by the public commands: from a trained pipeline to its guard and its page of figures.

On the committed pipelines of `reference/pipelines` in their 25 steps, and on tiny ones in a few steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from diffusion_probe.cli import main
from diffusion_probe.client import ProbeClient
from diffusion_probe.data.shards import read_split
from diffusion_probe.guard import ProbeGuard
from diffusion_probe.pipelines.arguments import image_per_prompt
from diffusion_probe.reference.metric import rewards
from diffusion_probe.reference.pipelines import RECIPES
from diffusion_probe.reference.pipelines.recipe import Recipe
from diffusion_probe.reference.reward import Reward

from .conftest import SHIPPED, Trained

COMMITTED = SHIPPED / "pipelines"
CAPTIONS = {"train": 16, "calibration": 4, "test": 4}
SEEDS = 4
WORLD = "diffusion_probe.reference.metric"
DEADLINE_MS = 60_000.0


@dataclass(frozen=True)
class Way:
    """A pipeline, and where its files go."""

    recipe: Recipe
    pipeline: Path
    root: Path
    steps: int
    at: tuple[int, ...]

    @property
    def drawing(self) -> list[str]:
        """How every command draws with it."""
        metric = ["--metric", f"{WORLD}:reward"]
        return [
            "--pipeline",
            str(self.pipeline),
            *metric,
            "--steps",
            str(self.steps),
            "--call",
            json.dumps(dict(self.recipe.call)),
        ]

    @property
    def folder(self) -> Path:
        """The probe."""
        return self.root / "models" / self.recipe.name / "1"

    def captions(self, split: str) -> list[str]:
        return read_split(self.root / "data", split, ["quality"]).prompts


def run(*arguments: object) -> str:
    """Run a command that has to succeed; what it prints."""
    output = StringIO()
    with redirect_stdout(output):
        code = main([str(argument) for argument in arguments])
    assert code == 0, output.getvalue()
    return output.getvalue()


def make_probe(way: Way) -> None:
    """From captions to an evaluated probe with plans."""
    name, data = way.recipe.name, ("--data", way.root / "data")
    captions = run("reference", "captions", "--split", "train", "--count", "80", "--sentences", way.recipe.sentences)
    (way.root / "captions.txt").write_text(captions)
    counts = [part for split, count in CAPTIONS.items() for part in (f"--{split}", count)]
    seeds = ("--seeds", SEEDS, "--test-seeds", SEEDS, "--at", ",".join(map(str, way.at)), "--grid", 8)
    more = ("--name", name, "--metric-range", "0,1", "--baselines", "--subjects", f"{WORLD}:subjects", "--batch", 16)
    run("collect", *way.drawing, "--prompts", way.root / "captions.txt", *data, *counts, *seeds, *more)
    checkpoint, folder = ("--checkpoint", way.root / "probe.pt"), ("--folder", way.folder)
    run("train", *data, *checkpoint, "--training-steps", 20, "--width", 8)
    run("export", *data, *checkpoint, *folder, "--name", name)
    run("calibrate", *data, *folder)
    run("evaluate", *data, *folder, "--repeats", 10, "--at", ",".join(map(str, way.at)))
    assert "Budget 2 images" in run("plan", "--probe", way.folder, "--budget", 2, "--write")


def select(way: Way, origin: str, name: str, *plan: object) -> list[dict]:
    """Select for the test captions, by the service; the records."""
    out = way.root / "select" / way.recipe.name / name
    prompts = way.root / "test.txt"
    prompts.write_text("\n".join(way.captions("test")))
    asked = () if name.startswith("best") else ("--service", origin, "--model", way.recipe.name, "--deadline-ms", DEADLINE_MS)
    run("select", "--prompts", prompts, *way.drawing, "--out", out, *plan, *asked)
    return [json.loads(path.read_text()) for path in sorted(out.glob("*/selection.json"))]


def check_report(way: Way) -> None:
    """Every baseline is compared, with an interval of the gap."""
    report = json.loads((way.folder / "report.json").read_text())
    assert (report["prompts"], report["seeds"], report["not_compared"]) == (CAPTIONS["test"], SEEDS, [])
    assert report["training_prompts"] == CAPTIONS["train"]
    for entry in report["steps"].values():
        for method in ("probe", "attend_and_excite", "guidance_difference", "preview_quality"):
            gap = entry["methods"][method]["gap_closed_4"]
            assert gap["low"] <= gap["value"] <= gap["high"] <= 1


def check_guard(way: Way, origin: str) -> None:
    """The guard keeps one image of several, and the image is the one that the pipeline alone draws."""
    pipe = DiffusionPipeline.from_pretrained(way.pipeline, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    caption = way.captions("test")[0]
    several = image_per_prompt(way.recipe.call, [caption] * 3, [0, 1, 2], way.steps)
    arguments = {**several, **way.recipe.call, "prompt": caption, "num_images_per_prompt": 3}
    policy = {"name": "top_k", "k": 1, "explore": {"rate": 0}}
    with ProbeClient(origin, deadline_ms=DEADLINE_MS) as client:
        guard = ProbeGuard(pipe, client, model=way.recipe.name, steps=[way.at[-1]], policy=policy, deadline_ms=DEADLINE_MS)
        result = guard(**arguments)
    assert (result.failures, result.differences) == ((), {})
    kept = [row for row, image in enumerate(result) if image is not None]
    assert len(kept) == 1
    alone = pipe(**image_per_prompt(way.recipe.call, [caption], kept, way.steps)).images[0]
    assert np.abs(np.asarray(result[kept[0]], int) - np.asarray(alone, int)).max() <= 4


def go(way: Way, start_service: Callable, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The whole way; the records of the planned selection."""
    monkeypatch.chdir(SHIPPED.parent)
    make_probe(way)
    check_report(way)
    origin = start_service(way.root / "models").origin
    check_guard(way, origin)
    keep = f"{way.at[0]}=3,{way.at[-1]}=2"  # the plan of so few calibration prompts may ask nothing
    records = select(way, origin, "plan", "--seeds", SEEDS, "--keep", keep)
    assert [record["outcome"] for record in records] == ["scored"] * CAPTIONS["test"]
    assert [record["differences"] for record in records] == [{}] * CAPTIONS["test"]
    assert all(record["calls"] < SEEDS * way.steps for record in records)
    select(way, origin, "best-of-3", "--best-of", 3)
    study = ["--models", way.root / "models", "--selections", way.root / "select", "--own", way.folder, "--docs", way.root]
    run("study", "backbones", *study, "--write")
    figures = json.loads((way.root / "backbones.json").read_text())[way.recipe.name]
    assert list(figures["steps"]) == [str(step) for step in way.at]
    assert figures["plan"]["seconds"] > 0
    assert f"`{way.recipe.name}@1` reads {figures['layers']} layers" in (way.root / "backbones.md").read_text()
    return records


def test_a_tiny_pipeline_goes_the_whole_way(
    trained: Trained, tmp_path: Path, start_service: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(Way(trained.recipe, trained.saved, tmp_path, steps=4, at=(1, 2)), start_service, monkeypatch)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_committed_pipeline_goes_the_whole_way_and_draws_what_its_captions_say(
    name: str, reward: Reward, tmp_path: Path, start_service: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = go(Way(RECIPES[name], COMMITTED / name, tmp_path, steps=25, at=(1, 5, 10)), start_service, monkeypatch)
    captions = [record["prompt"] for record in records]
    folders = sorted((tmp_path / "select" / name / "plan").glob("[0-9]*"))
    images = [Image.open(next(folder.glob("rank-*1-seed-*.png"))) for folder in folders]
    own, other = (np.mean(rewards(reward, images, texts)) for texts in (captions, [*captions[1:], captions[0]]))
    assert own > other
