"""The stages of the selftest. Random weights show that the parts fit together, and nothing about quality."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diffusers import DiffusionPipeline
from PIL.Image import Image

from ..client import ProbeClient, ScoredGroup
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..guard import ProbeGuard
from ..pipelines.prompts import SPLIT_PERCENT, split_of
from ..probe.onnx_graph import torch_scores
from ..tiny import TinyBackbone
from ..training.checkpoint import load_probe
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
# What the collection does not set itself of the tiny pipeline's arguments.
CALL_ARGUMENTS = ("height", "width", "max_sequence_length", "negative_prompt", "true_cfg_scale")
NOTE = "Random weights prove the plumbing, not the science: no figure of this run says anything about quality."


@dataclass(frozen=True)
class StageResult:
    """What one stage did on one backbone, and how long it took."""

    backbone: str
    stage: str
    seconds: float
    result: str


def brightness(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """The metric of the selftest: the mean brightness, 0 to 1."""
    return [float(np.asarray(image).mean()) / 255 for image in images]


def selftest(backbones: Sequence[str], main: Callable[[list[str]], int]) -> list[StageResult]:
    """Every stage on every backbone. `main` runs a command line. Raises ValueError for a stage that fails."""
    results: list[StageResult] = []
    for backbone in backbones:
        with tempfile.TemporaryDirectory() as folder:
            results += BackboneSelftest(backbone, Path(folder), main).results()
    return results


def stage_table(results: Sequence[StageResult]) -> str:
    """The results as a table of text."""
    lines = [f"{'backbone':12}{'stage':12}{'seconds':>8}  result"]
    lines += [f"{row.backbone:12}{row.stage:12}{row.seconds:8.1f}  {row.result}" for row in results]
    return "\n".join([*lines, "", NOTE])


class BackboneSelftest:
    """The stages on one backbone, in a temporary folder. Each returns a short text about what it did."""

    def __init__(self, backbone: str, folder: Path, main: Callable[[list[str]], int]):
        self._tiny = TinyBackbone(backbone)
        self._backbone = backbone
        self._main = main
        self._pipeline = folder / backbone
        self._prompts = folder / "prompts.txt"
        self._data = folder / "data"
        self._checkpoint = folder / "probe.pt"
        self._models = folder / "models"
        self._probe = self._models / backbone / "1"
        self._data_option = ["--data", str(self._data)]
        self._checkpoint_option = ["--checkpoint", str(self._checkpoint)]
        self._folder_option = ["--folder", str(self._probe)]
        self._arguments = self._tiny.arguments("a cat")

    def results(self) -> list[StageResult]:
        """Run all stages; where the service cannot be started, the result says why."""
        results = [self._timed(stage) for stage in (self.collect, self.train, self.export, self.calibrate, self.evaluate)]
        started = time.monotonic()
        try:
            with running_service(self._models) as origin, ProbeClient(origin, deadline_ms=DEADLINE_MS) as client:
                results.append(self._timed(lambda: self.serve(client), "serve", started))
                results.append(self._timed(lambda: self.guard(client), "guard"))
        except NoServiceError as error:
            results.append(StageResult(self._backbone, "serve", 0.0, f"skipped, and guard too: {error}"))
        return results

    def collect(self) -> str:
        self._tiny.pipe.save_pretrained(self._pipeline)
        self._prompts.write_text("\n".join(_prompts()))
        call = {name: value for name, value in self._arguments.items() if name in CALL_ARGUMENTS}
        files = ["--pipeline", str(self._pipeline), "--prompts", str(self._prompts), *self._data_option]
        counts = [part for split, count in PROMPTS.items() for part in (f"--{split}", str(count))]
        seeds = ["--seeds", str(SEEDS), "--test-seeds", str(SEEDS), "--at", AT, "--steps", str(self._total_steps)]
        metric = ["--metric", f"{__name__}:{brightness.__name__}", "--metric-range", "0,1"]
        self._command("collect", *files, *counts, *seeds, *metric, "--call", json.dumps(call))
        return f"{sum(PROMPTS.values()) * SEEDS} images"

    def train(self) -> str:
        size = ["--training-steps", str(TRAINING_STEPS), "--width", "8"]
        self._command("train", *self._data_option, *self._checkpoint_option, *size)
        return f"{TRAINING_STEPS} steps"

    def export(self) -> str:
        self._command("export", *self._data_option, *self._checkpoint_option, *self._folder_option, "--name", self._backbone)
        return f"{(self._probe / 'model.onnx').stat().st_size} bytes, equal to PyTorch"

    def calibrate(self) -> str:
        self._command("calibrate", *self._data_option, *self._folder_option)
        return f"{PROMPTS['calibration']} prompts"

    def evaluate(self) -> str:
        self._command("evaluate", *self._data_option, *self._folder_option, "--repeats", "5", "--at", AT)
        return f"{PROMPTS['test']} prompts"

    def serve(self, client: ProbeClient) -> str:
        """Compare the service's scores of the test samples with PyTorch's on the same maps."""
        collection = read_split(self._data, "test")
        inputs = probe_inputs(collection, STEP, slice(None))
        expected = torch_scores(load_probe(self._checkpoint)[0], inputs)
        answer = client.score(
            inputs["attention"],
            inputs["timestep"],
            token_mask=inputs["token_mask"],
            model=self._backbone,
            policy={"name": "score_only"},
            step=STEP,
            total_steps=self._total_steps,
            capture_id=collection.description.capture.capture_id,
        )
        if not isinstance(answer, ScoredGroup):
            raise ValueError(f"the service did not score: {answer}")
        difference = float(np.abs(np.array([result.score for result in answer.results]) - expected).max())
        spread = float(np.ptp(expected))
        allowed = min(MAX_DIFFERENCE, spread * MAX_DIFFERENCE_OF_SPREAD)
        if not difference < allowed:
            raise ValueError(f"the service differs from PyTorch by {difference:.2g}: expected less than {allowed:.2g}")
        return f"{len(expected)} scores over {spread:.1g}, at most {difference:.1g} from PyTorch"

    def guard(self, client: ProbeClient) -> str:
        """Generate several images of which the guard keeps one."""
        pipe = DiffusionPipeline.from_pretrained(self._pipeline)
        pipe.set_progress_bar_config(disable=True)
        policy = {"name": "top_k", "k": 1, "explore": {"rate": 0}}  # exploration would finish a dropped image now and then
        guard = ProbeGuard(pipe, client, model=self._backbone, steps=[STEP], policy=policy, deadline_ms=DEADLINE_MS)
        images = guard(**self._tiny.arguments("a red cat", images=CANDIDATES))
        kept = sum(image is not None for image in images)
        if images.failures or kept != 1:
            raise ValueError(f"the guard kept {kept} of {CANDIDATES} images, expected 1: {images.failures}")
        return f"{kept} of {CANDIDATES} images finished, the others stopped at step {STEP}"

    @property
    def _total_steps(self) -> int:
        return self._arguments["num_inference_steps"]

    def _timed(self, stage: Callable[[], str], name: str | None = None, started: float | None = None) -> StageResult:
        started = time.monotonic() if started is None else started
        result = stage()
        return StageResult(self._backbone, name or stage.__name__, time.monotonic() - started, result)

    def _command(self, *arguments: str) -> None:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = self._main(list(arguments))
        if code:
            raise ValueError(f"{arguments[0]} on {self._backbone} ended with code {code}: {output.getvalue().strip()[-500:]}")


def _prompts() -> list[str]:
    """As many prompts of each split as are needed, in words that the tiny tokenizers know."""
    found: dict[str, list[str]] = {split: [] for split in SPLIT_PERCENT}
    words = ("cat", "dog", "banana", "key")
    for color in ("red", "blue", "two", "three"):
        for first in words:
            for place in ("on", "in", "left of", "right of"):
                for second in words:
                    prompt = f"{color} {first} {place} the {second}"
                    found[split_of(prompt)].append(prompt)
    return [prompt for split, own in found.items() for prompt in own[: PROMPTS[split]]]
