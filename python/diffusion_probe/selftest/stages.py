"""The stages of the selftest. Random weights show that the parts fit together, and nothing about quality."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from diffusers import DiffusionPipeline

from ..client import ProbeClient, ScoredGroup
from ..data.inputs import probe_inputs
from ..data.prompts import split_of
from ..data.shards import read_split
from ..guard import ProbeGuard
from ..tiny import TinyBackbone
from ..tiny.backbone import STEPS
from ..training.checkpoint import load_probe
from . import brightness
from .local_service import NoServiceError, running_service

PROMPTS = {"train": 8, "calibration": 4, "test": 4}
SEEDS = 4
TRAINING_STEPS = 4
AT = "1,2"
STEP = 2
CANDIDATES = 3
MAX_DIFFERENCE = 1e-3  # of a score, between the service and PyTorch on float16 maps
MAX_DIFFERENCE_OF_SPREAD = 0.1  # the same as a share of the spread: scores of a random probe are close together
DEADLINE_MS = 60_000.0
NOTE = "The weights are random: this run tests that the parts fit together, and its figures say nothing about quality."


class StageResult(NamedTuple):
    """What one stage did on one backbone, and how long it took."""

    backbone: str
    stage: str
    seconds: float
    result: str


def selftest(backbones: Sequence[str], main: Callable[[list[str]], int]) -> list[StageResult]:
    """Every stage on every backbone. `main` runs a command line. Raises ValueError for a stage that fails."""
    results: list[StageResult] = []
    for backbone in backbones:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            for stage, result in run_stages(backbone, Path(folder), main):
                results.append(StageResult(backbone, stage, time.monotonic() - started, result))
                started = time.monotonic()
    return results


def stage_table(results: Sequence[StageResult]) -> str:
    """The results as a table of text."""
    lines = [f"{'backbone':12}{'stage':12}{'seconds':>8}  result"]
    lines += [f"{row.backbone:12}{row.stage:12}{row.seconds:8.1f}  {row.result}" for row in results]
    return "\n".join([*lines, "", NOTE])


def run_stages(backbone: str, folder: Path, main: Callable[[list[str]], int]) -> Iterator[tuple[str, str]]:
    """Run the stages on one backbone, and yield the name and result of each; without a service the last two are skipped."""
    tiny = TinyBackbone(backbone)
    tiny.pipe.save_pretrained(folder / backbone)
    (folder / "prompts.txt").write_text("\n".join(_prompts()))
    for stage, (result, arguments) in command_lines(backbone, folder, tiny).items():
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = main([stage, *arguments])
        if code:
            raise ValueError(f"{stage} on {backbone} ended with code {code}: {output.getvalue().strip()[-500:]}")
        yield stage, result
    try:
        with running_service(folder / "models") as origin, ProbeClient(origin, deadline_ms=DEADLINE_MS) as client:
            yield "serve", check_service(client, backbone, folder)
            yield "guard", check_guard(client, backbone, folder, tiny)
    except NoServiceError as error:
        yield "serve", f"skipped, and guard too: {error}"


def command_lines(backbone: str, folder: Path, tiny: TinyBackbone) -> dict[str, tuple[str, list[str]]]:
    """The commands in the order in which they run, each with the result to report and its arguments."""
    data, checkpoint = ["--data", str(folder / "data")], ["--checkpoint", str(folder / "probe.pt")]
    probe = ["--folder", str(folder / "models" / backbone / "1")]
    source = ["--pipeline", str(folder / backbone), "--call", json.dumps(tiny.settings), "--prompts", str(folder / "prompts.txt")]
    metric = ["--metric", f"{brightness.__module__}:{brightness.__name__}", "--metric-range", "0,1"]
    counts = [part for split, count in PROMPTS.items() for part in (f"--{split}", str(count))]
    seeds = ["--seeds", str(SEEDS), "--test-seeds", str(SEEDS), "--at", AT, "--steps", str(STEPS)]
    return {
        "collect": (f"{sum(PROMPTS.values()) * SEEDS} images", [*source, *data, *metric, *counts, *seeds]),
        "train": (f"{TRAINING_STEPS} steps", [*data, *checkpoint, "--training-steps", str(TRAINING_STEPS), "--width", "8"]),
        "export": ("an ONNX file equal to PyTorch", [*data, *checkpoint, *probe, "--name", backbone]),
        "calibrate": (f"{PROMPTS['calibration']} prompts", [*data, *probe]),
        "evaluate": (f"{PROMPTS['test']} prompts", [*data, *probe, "--repeats", "5", "--at", AT]),
    }


def check_service(client: ProbeClient, backbone: str, folder: Path) -> str:
    """Compare the service's scores of the test samples with PyTorch's on the same maps."""
    collection = read_split(folder / "data", "test")
    description = collection.description
    inputs = probe_inputs(collection, STEP, slice(None))
    expected = load_probe(folder / "probe.pt")[0].score(inputs)
    answer = client.score(
        inputs["attention"],
        inputs["timestep"],
        token_mask=inputs["token_mask"],
        model=backbone,
        policy={"name": "score_only"},
        step=STEP,
        total_steps=description.total_steps,
        capture_id=description.capture.capture_id,
        conditions=description.conditions,
    )
    if not isinstance(answer, ScoredGroup):
        raise ValueError(f"the service did not score: {answer}")
    difference = float(np.abs(np.array([result.score for result in answer.results]) - expected).max())
    spread = float(np.ptp(expected))
    allowed = min(MAX_DIFFERENCE, spread * MAX_DIFFERENCE_OF_SPREAD)
    if not difference < allowed:
        raise ValueError(f"the service differs from PyTorch by {difference:.2g}: expected less than {allowed:.2g}")
    return f"{len(expected)} scores over {spread:.1g}, at most {difference:.1g} from PyTorch"


def check_guard(client: ProbeClient, backbone: str, folder: Path, tiny: TinyBackbone) -> str:
    """Generate several images, of which the guard keeps one."""
    pipe = DiffusionPipeline.from_pretrained(folder / backbone)
    pipe.set_progress_bar_config(disable=True)
    policy = {"name": "top_k", "k": 1, "explore": {"rate": 0}}  # exploration would finish a dropped image now and then
    guard = ProbeGuard(pipe, client, model=backbone, steps=[STEP], policy=policy, deadline_ms=DEADLINE_MS)
    images = guard(**tiny.arguments("a red cat", images=CANDIDATES))
    kept = sum(image is not None for image in images)
    if images.failures or kept != 1:
        raise ValueError(f"the guard kept {kept} of {CANDIDATES} images, expected 1: {images.failures}")
    return f"{kept} of {CANDIDATES} images finished, the others stopped at step {STEP}"


def _prompts() -> list[str]:
    """As many prompts of each split as are needed, in words that the tiny tokenizers know."""
    colors, words, places = ("red", "blue", "two", "three"), ("cat", "dog", "banana", "key"), ("on", "in", "left of", "right of")
    found = [f"{color} {first} {place} the {second}" for color, first, place, second in product(colors, words, places, words)]
    return [prompt for split, count in PROMPTS.items() for prompt in [p for p in found if split_of(p) == split][:count]]
