"""The committed backbone, reward and probes match their hashes, and the probes still rank newly generated samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from diffusion_probe.data.dataset import Collection, describe, with_layers
from diffusion_probe.evaluation.figures import mean_known, pairwise_accuracy
from diffusion_probe.evaluation.scores import score_collection
from diffusion_probe.probe.manifest import Capture, sha256_of
from diffusion_probe.probe.onnx_probe import OnnxProbe
from diffusion_probe.reference.source import ReferenceSource

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "reference"
PROBES = sorted((ROOT / "models").glob("*/*/probe.json"))
MAX_REFERENCE_BYTES = 40_000_000
MAX_PROBE_BYTES = 5_000_000
COLLECTED_PROMPTS = 6000  # no probe was trained on prompts of the training split after this one
FRESH_PROMPTS, SEEDS, STEP = 16, 8, 10
# Well below the reports' figures, since these are few prompts.
LEAST_SRCC, LEAST_PAIRWISE = 0.5, 0.65


def test_the_reference_world_matches_its_hashes() -> None:
    description = json.loads((REFERENCE / "reference.json").read_text())
    for name, expected in description["files"].items():
        assert sha256_of(REFERENCE / name) == expected, name
    assert sum(path.stat().st_size for path in REFERENCE.iterdir()) <= MAX_REFERENCE_BYTES


@pytest.mark.parametrize("path", PROBES, ids=lambda path: f"{path.parts[-3]}@{path.parts[-2]}")
def test_every_probe_matches_its_hashes_and_reads_layers_of_the_reference_backbone(path: Path) -> None:
    manifest = json.loads(path.read_text())
    for name, expected in manifest["files"].items():
        assert sha256_of(path.parent / name) == expected, name
    assert (path.parent / "model.onnx").stat().st_size <= MAX_PROBE_BYTES
    assert manifest["capture_id"] == Capture.from_dict(manifest["capture"]).capture_id
    reference = json.loads((REFERENCE / "reference.json").read_text())
    assert set(manifest["capture"]["layers"]) <= set(reference["capture"]["layers"])


@pytest.fixture(scope="module")
def fresh() -> Collection:
    """Samples of captions that no probe was trained, calibrated or evaluated on."""
    source = ReferenceSource.load(REFERENCE)
    prompts = source.prompts("train", COLLECTED_PROMPTS + FRESH_PROMPTS)[COLLECTED_PROMPTS:]
    repeated = [prompt for prompt in prompts for _ in range(SEEDS)]
    samples = source.generate(repeated, list(range(SEEDS)) * FRESH_PROMPTS, (STEP,))
    return Collection(describe(source, (STEP,), {"fresh": SEEDS}), "fresh", prompts, vars(samples))


@pytest.mark.parametrize("path", PROBES, ids=lambda path: f"{path.parts[-3]}@{path.parts[-2]}")
def test_every_probe_ranks_new_samples(path: Path, fresh: Collection) -> None:
    probe = OnnxProbe(path.parent)
    collection = with_layers(fresh, probe.manifest["capture"]["layers"])
    scores, quality = score_collection(probe, collection, STEP), collection.quality
    assert np.isfinite(scores).all()
    assert spearmanr(scores.ravel(), quality.ravel()).statistic > LEAST_SRCC
    assert mean_known(pairwise_accuracy(scores, quality)) > LEAST_PAIRWISE
