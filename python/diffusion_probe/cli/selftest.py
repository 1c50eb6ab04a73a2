"""`diffusion-probe selftest`: the whole way on a tiny random pipeline, from collecting to a guarded run.

Random weights draw nothing: this proves that the parts fit, on this machine and with its packages, and nothing about quality.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline
from PIL.Image import Image

from ..client import ProbeClient, ScoredGroup
from ..data.inputs import probe_inputs
from ..data.shards import read_split
from ..guard import ProbeGuard
from ..pipelines.prompts import SHARES, split_of
from ..tiny import TinyBackbone
from ..training.checkpoint import load_probe
from .local_service import NoServiceError, running_service

PROMPTS = {"train": 8, "calibration": 4, "test": 4}
SEEDS = 4
AT = "1,2"
STEP = 2
CANDIDATES = 3
HALF_TOLERANCE = 1e-3  # between the service and PyTorch, on float16 maps
# Scores of an untrained probe lie close together: equal means much nearer than they are to each other.
SHARE_OF_SPREAD = 0.1
DEADLINE_MS = 60_000.0
NOTE = "Random weights prove the plumbing, not the science: no figure of this run says anything about quality."


@dataclass(frozen=True)
class Row:
    """One stage of a run."""

    backbone: str
    stage: str
    seconds: float
    result: str


def brightness(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """The metric of the selftest."""
    return [float(np.asarray(image).mean()) / 255 for image in images]


def selftest(backbones: Sequence[str], run: Callable[[list[str]], int]) -> list[Row]:
    """Every stage on every backbone. `run`: the command line itself. Raises ValueError for a stage that does not hold."""
    rows: list[Row] = []
    for backbone in backbones:
        with tempfile.TemporaryDirectory() as folder:
            rows += _Run(backbone, Path(folder), run).rows()
    return rows


def table(rows: Sequence[Row]) -> str:
    """For people to read."""
    lines = [f"{'backbone':12}{'stage':12}{'seconds':>8}  result"]
    lines += [f"{row.backbone:12}{row.stage:12}{row.seconds:8.1f}  {row.result}" for row in rows]
    return "\n".join([*lines, "", NOTE])


class _Run:
    """One backbone on its way."""

    def __init__(self, backbone: str, folder: Path, run: Callable[[list[str]], int]):
        self._tiny = TinyBackbone(backbone)
        self._backbone = backbone
        self._run = run
        self._pipeline = folder / backbone
        self._prompts = folder / "prompts.txt"
        self._data = folder / "data"
        self._checkpoint = folder / "probe.pt"
        self._models = folder / "models"
        self._probe = self._models / backbone / "1"

    def rows(self) -> list[Row]:
        """All stages; those that need the service say so where there is none."""
        rows = [self._timed(stage) for stage in (self.collect, self.train, self.export, self.calibrate, self.evaluate)]
        started = time.monotonic()
        try:
            with running_service(self._models) as origin, ProbeClient(origin, deadline_ms=DEADLINE_MS) as client:
                rows.append(self._timed(lambda: self.serve(client), "serve", started))
                rows.append(self._timed(lambda: self.guard(client), "guard"))
        except NoServiceError as error:
            rows.append(Row(self._backbone, "serve", 0.0, f"left out, and guard: {error}"))
        return rows

    def collect(self) -> str:
        self._tiny.pipe.save_pretrained(self._pipeline)
        self._prompts.write_text("\n".join(_prompts()))
        files = ["--pipeline", str(self._pipeline), "--prompts", str(self._prompts), "--out", str(self._data)]
        counts = [part for split, count in PROMPTS.items() for part in (f"--{split}", str(count))]
        seeds = ["--seeds", str(SEEDS), "--test-seeds", str(SEEDS), "--at", AT, "--steps", str(self._total_steps())]
        metric = ["--metric", f"{__name__}:{brightness.__name__}", "--metric-range", "0,1"]
        call = ["--call", json.dumps(self._call()), *metric]
        self._command("collect", *files, *counts, *seeds, *call)
        return f"{sum(PROMPTS.values()) * SEEDS} images"

    def train(self) -> str:
        steps = 4
        self._command("train", *self._of_data(), "--training-steps", str(steps), "--width", "8")
        return f"{steps} steps"

    def export(self) -> str:
        self._command("export", *self._of_data(), "--folder", str(self._probe), "--name", self._backbone)
        return f"{(self._probe / 'model.onnx').stat().st_size} bytes, equal to PyTorch"

    def calibrate(self) -> str:
        self._command("calibrate", "--data", str(self._data), "--folder", str(self._probe))
        return f"{PROMPTS['calibration']} prompts"

    def evaluate(self) -> str:
        self._command("evaluate", "--data", str(self._data), "--folder", str(self._probe), "--repeats", "5", "--at", AT)
        return f"{PROMPTS['test']} prompts"

    def serve(self, client: ProbeClient) -> str:
        """The service's scores of the test samples, beside PyTorch's on the same maps."""
        collection = read_split(self._data, "test")
        inputs = probe_inputs(collection, STEP, slice(None))
        expected = load_probe(self._checkpoint)[0].score(inputs)
        capture_id = collection.description.capture.capture_id
        answer = client.score(
            inputs["attention"],
            inputs["timestep"],
            token_mask=inputs["token_mask"],
            model=self._backbone,
            policy={"name": "score_only"},
            step=STEP,
            total_steps=self._total_steps(),
            capture_id=capture_id,
        )
        if not isinstance(answer, ScoredGroup):
            raise ValueError(f"the service did not score: {answer}")
        difference = float(np.abs(np.array([result.score for result in answer.results]) - expected).max())
        spread = float(np.ptp(expected))
        allowed = min(HALF_TOLERANCE, spread * SHARE_OF_SPREAD)
        if not difference < allowed:
            raise ValueError(f"the service differs from PyTorch by {difference:.2g}: expected less than {allowed:.2g}")
        return f"{len(expected)} scores over {spread:.1g}, at most {difference:.1g} from PyTorch"

    def guard(self, client: ProbeClient) -> str:
        """One image of several is finished, the others stop."""
        pipe = DiffusionPipeline.from_pretrained(self._pipeline)
        pipe.set_progress_bar_config(disable=True)
        # By default a dropped image is finished by lot now and then, to learn from.
        policy = {"name": "top_k", "k": 1, "explore": {"rate": 0}}
        guard = ProbeGuard(pipe, client, model=self._backbone, steps=[STEP], policy=policy, deadline_ms=DEADLINE_MS)
        images = guard(**self._tiny.arguments("a red cat", images=CANDIDATES))
        kept = sum(image is not None for image in images)
        if images.failures or kept != 1:
            raise ValueError(f"the guard kept {kept} of {CANDIDATES} images, expected 1: {images.failures}")
        return f"{kept} of {CANDIDATES} images finished, the others stopped at step {STEP}"

    def _timed(self, stage: Callable[[], str], name: str | None = None, started: float | None = None) -> Row:
        started = time.monotonic() if started is None else started
        result = stage()
        return Row(self._backbone, name or stage.__name__, time.monotonic() - started, result)

    def _command(self, *arguments: str) -> None:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = self._run(list(arguments))
        if code:
            raise ValueError(f"{arguments[0]} on {self._backbone} ended with code {code}: {output.getvalue().strip()[-500:]}")

    def _of_data(self) -> list[str]:
        return ["--data", str(self._data), "--checkpoint", str(self._checkpoint)]

    def _total_steps(self) -> int:
        return self._tiny.arguments()["num_inference_steps"]

    def _call(self) -> dict[str, Any]:
        """What of the tiny pipeline's arguments is not the collection's own."""
        kept = ("height", "width", "max_sequence_length", "negative_prompt", "true_cfg_scale")
        return {name: value for name, value in self._tiny.arguments("a cat").items() if name in kept}


def _prompts() -> list[str]:
    """As many of each split as are needed, of words that the tiny tokenizers know."""
    found: dict[str, list[str]] = {split: [] for split in SHARES}
    words = ("cat", "dog", "banana", "key")
    for color in ("red", "blue", "two", "three"):
        for first in words:
            for place in ("on", "in", "left of", "right of"):
                for second in words:
                    prompt = f"{color} {first} {place} the {second}"
                    found[split_of(prompt)].append(prompt)
    return [prompt for split, own in found.items() for prompt in own[: PROMPTS[split]]]
