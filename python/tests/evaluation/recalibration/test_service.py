"""From the service's decisions to the probe that it serves next: feedback is written, read, and made a new version of."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

from diffusion_probe.cli import main
from diffusion_probe.client import ProbeClient
from diffusion_probe.probe.manifest import read_manifest

ROOT = Path(__file__).parents[4]
GROUPS, SEEDS = 30, 8
WAIT_SECONDS = 30


def test_feedback_of_the_service_becomes_a_version_that_it_serves(start_service, tmp_path: Path, capsys) -> None:
    file = tmp_path / "feedback.jsonl"
    service = start_service(ROOT / "models", FEEDBACK_FILE=str(file))
    with safe_open(ROOT / "examples" / "group.safetensors", framework="np") as example:
        tensors, metadata = {name: example.get_tensor(name) for name in example.keys()}, example.metadata()  # noqa: SIM118
    rng = np.random.default_rng(0)
    with ProbeClient(service.origin, deadline_ms=10_000) as client:
        for number in range(GROUPS):
            outcome = client.score(
                tensors["attention"],
                tensors["timestep"],
                token_mask=tensors["token_mask"],
                model=metadata["model"],
                policy={"name": "max_false_drop", "mode": "shadow"},
                group=f"prompt {number}",
                sample_ids=[f"seed {index}" for index in range(SEEDS)],
                step=int(metadata["step"]),
            )
            quality = [float(np.clip(result.score + rng.normal(0, 0.2), 0, 1)) for result in outcome.results]
            answer = client.feedback([result.receipt for result in outcome.results], quality)
            assert (answer.accepted, answer.refused) == (SEEDS, ())
    ends = time.monotonic() + WAIT_SECONDS
    while len(file.read_text().splitlines()) < GROUPS * SEEDS and time.monotonic() < ends:
        time.sleep(0.05)

    folder = tmp_path / "models" / outcome.model / str(outcome.version)
    shutil.copytree(ROOT / "models" / outcome.model / str(outcome.version), folder)
    assert main(["recalibrate", str(file), "--folder", str(folder), "--alpha", "0.2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["receipts"], figures["captions"], figures["unused"]) == (GROUPS * SEEDS, GROUPS, {})

    new = folder.parent / str(figures["new_version"])
    with ProbeClient(start_service(tmp_path / "models").origin, deadline_ms=10_000) as client:
        again = client.score(tensors["attention"], tensors["timestep"], token_mask=tensors["token_mask"], model=outcome.model)
    assert again.version == figures["new_version"] == outcome.version + 1
    assert [result.score for result in again.results] == [result.score for result in outcome.results]
    assert [entry["step"] for entry in read_manifest(new)["calibration"]] == [int(metadata["step"])]
    assert again.results[0].p_good is not None
