"""Shared by the tests of the guard: tiny pipelines, a probe for each, and the real service that serves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from diffusion_probe.capture import AttentionCapture, CaptureRun
from diffusion_probe.client import ProbeClient, SampleResult, ScoredGroup
from diffusion_probe.evaluation.calibrate import calibration_at
from diffusion_probe.families import text_layers
from diffusion_probe.fingerprint import fingerprint
from diffusion_probe.guard import ProbeGuard
from diffusion_probe.probe.config import ProbeConfig
from diffusion_probe.probe.manifest import DecisionPoint, Metric, write_manifest
from diffusion_probe.probe.network import Probe
from diffusion_probe.probe.onnx_export import export_onnx
from diffusion_probe.tiny import TINY, TinyBackbone
from diffusion_probe.training.export import TIMESTEP_TOLERANCE

torch.set_num_threads(1)

CONFIG = ProbeConfig(layers=2, grid=8, width=8)
STEPS = (1, 2, 3)
METRIC = Metric("chance", (0.0, 1.0), 0.5)
CALIBRATION_PROMPTS = 400
PATIENT_MS = 60_000.0
FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}
PLAN = {
    "budget": 2.5,
    "seeds": 4,
    "keep": {"1": 3, "3": 1},
    "calls": 11,
    "pick": 1,
    "final": "metric",
    "expected": dict.fromkeys(("quality", "best_of_k", "gain", "gap_closed", "best_of_k_gap_closed"), FIGURE),
}


@pytest.fixture(params=list(TINY))
def backbone(request: pytest.FixtureRequest) -> TinyBackbone:
    """Each backbone in turn, new for every test."""
    return TinyBackbone(request.param)


@pytest.fixture
def make_backbone() -> type[TinyBackbone]:
    """A backbone by its name."""
    return TinyBackbone


@pytest.fixture(scope="session")
def probe() -> Probe:
    """One probe with random weights, scaled up so that samples of a tiny backbone have different scores."""
    torch.manual_seed(0)
    probe = Probe(CONFIG).eval()
    with torch.no_grad():
        probe.head[-1].weight *= 30
    return probe


@pytest.fixture(scope="session")
def models(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with that probe, exported, and calibrated for each backbone."""
    root = tmp_path_factory.mktemp("models")
    graph = root.parent / f"{root.name}.onnx"
    export_onnx(probe, graph)
    for name in TINY:
        folder = root / name / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(graph.read_bytes())
        write_probe(folder, TinyBackbone(name), probe)
    return root


def write_probe(folder: Path, backbone: TinyBackbone, probe: Probe) -> None:
    """Selftest and manifest, from a run of the backbone."""
    layers = list(text_layers(backbone.pipe))[-2:]
    run = AttentionCapture(backbone.pipe, layers, STEPS, (CONFIG.grid, CONFIG.grid))(**backbone.arguments())
    inputs = {step: inputs_of(run, step) for step in STEPS}
    points = tuple(DecisionPoint(step, run.steps[step].timestep) for step in STEPS)
    (folder / "selftest.safetensors").write_bytes(save(inputs[2], {"capture_id": run.settings.capture_id}))
    manifest: dict[str, Any] = {
        "schema_version": 2,
        "name": backbone.name,
        "version": 1,
        "backbone": backbone.name,
        "capture": asdict(run.settings),
        "capture_id": run.settings.capture_id,
        "conditions": run.conditions,
        "conditions_id": fingerprint(run.conditions),
        "total_steps": run.steps[1].total_steps,
        "metric": asdict(METRIC),
        "inputs": [asdict(signal) for signal in CONFIG.inputs()],
        "output": {"name": "score", "dtype": "F32", "shape": ["batch"]},
        "decision_points": [{**asdict(point), "tolerance": TIMESTEP_TOLERANCE} for point in points],
        "calibration": [calibration(step, probe.score(inputs[step])) for step in STEPS],
        "trajectories": None,
        "plans": [PLAN],
        "evaluation": {},
        "selftest": {
            "input": "selftest.safetensors",
            "scores": probe.score(inputs[2]).tolist(),
            "tolerance": 1e-3,
        },
        "files": {"model.onnx": "", "selftest.safetensors": ""},
    }
    write_manifest(folder, json.loads(json.dumps(manifest)))


def calibration(step: int, scores: np.ndarray) -> dict[str, Any]:
    """Of good samples with scores between the two: under the default policy the worse is dropped and the better is kept."""
    spread = np.linspace(*np.sort(scores), CALIBRATION_PROMPTS)[:, None]
    return calibration_at(step, spread, np.ones_like(spread), METRIC.good_at)


def inputs_of(run: CaptureRun, step: int) -> dict[str, np.ndarray]:
    """The probe's inputs for a captured step."""
    captured = run.steps[step]
    timestep = np.full(len(captured.images), captured.timestep, np.float32)
    return {"attention": captured.attention, "token_mask": captured.token_mask, "timestep": timestep}


@pytest.fixture(scope="session")
def scores(models: Path, probe: Probe) -> Callable[..., np.ndarray]:
    """PyTorch's scores of the samples of a call at a step, without service or guard."""

    def score(backbone: TinyBackbone, step: int, **changes: Any) -> np.ndarray:
        manifest = json.loads((models / backbone.name / "1" / "probe.json").read_text())
        capture = AttentionCapture(backbone.pipe, manifest["capture"]["layers"], [step], (CONFIG.grid, CONFIG.grid))
        return probe.score(inputs_of(capture(**backbone.arguments(**changes)), step))

    return score


@pytest.fixture(scope="session")
def client(models: Path, start_service: Callable[..., Any]):
    """A client of the real service, which serves these probes."""
    with ProbeClient(start_service(models).origin, deadline_ms=PATIENT_MS) as client:
        yield client


class RowCounter:
    """Counts the rows of each call of a pipeline's denoiser and VAE."""

    def __init__(self, backbone: TinyBackbone):
        self.denoised: list[int] = []
        self.decoded: list[int] = []
        backbone.denoiser.register_forward_pre_hook(self._on_denoise, with_kwargs=True)
        backbone.pipe.vae.decoder.register_forward_pre_hook(lambda module, args: self.decoded.append(len(args[0])))

    def _on_denoise(self, module: Any, args: tuple, kwargs: dict) -> None:
        sample = args[0] if args else kwargs["hidden_states"]
        self.denoised.append(len(sample))


@pytest.fixture
def count_rows() -> type[RowCounter]:
    """Counts the rows of a backbone's calls."""
    return RowCounter


class FixedClient:
    """Drops the images with the given indices. All scores are equal."""

    def __init__(self, dropped: tuple[int, ...]):
        self.dropped = dropped

    def score(self, attention: np.ndarray, timestep: float, *, sample_ids: list[str], **options: Any) -> ScoredGroup:
        results = tuple(self._result(index, name) for index, name in enumerate(sample_ids))
        return ScoredGroup("fixed", 1, "cpu", {"name": "score_only"}, results)

    def _result(self, index: int, name: str) -> SampleResult:
        decision = "drop" if int(name.split("/")[1]) in self.dropped else "keep"
        return SampleResult(index, name, 0.5, None, None, 1, None, decision == "drop", None, decision, "fixed", None)


@pytest.fixture
def guard_dropping(models: Path) -> Callable[..., ProbeGuard]:
    """A guard that drops the given images at the second step."""

    def make(backbone: TinyBackbone, *dropped: int) -> ProbeGuard:
        return ProbeGuard(backbone.pipe, FixedClient(dropped), probe=models / backbone.name / "1", steps=[2])

    return make
