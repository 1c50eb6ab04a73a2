"""Variants of the small Stable Diffusion XL: each draws other images, and its attention can still be captured."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.capture import AttentionCapture
from diffusion_probe.pipelines.arguments import image_per_prompt
from diffusion_probe.pipelines.load import load_pipeline

ROOT = Path(__file__).parents[3]
FOLDER = str(ROOT / "reference/pipelines/sdxl")
VARIANTS = {
    "scheduler": {},
    "fine_tuned": {"steps": 1, "batch": 2},
    "lora": {"steps": 2, "batch": 2},
    "int8": {},
    "image_to_image": {},
}


def drawn(pipeline: str, load: dict) -> tuple[np.ndarray, np.ndarray]:
    """The image of a caption and its attention at the second step."""
    pipe = load_pipeline(pipeline, torch.device("cpu"), None, load)
    arguments = image_per_prompt({"guidance_scale": 3.0}, ["a cat left of two keys on a blue background"], [0], 4)
    run = AttentionCapture(pipe, None, (2,), (8, 8))(**arguments)
    assert not run.missing
    return np.asarray(run.output.images[0]), run.steps[2].attention


@pytest.fixture(scope="module")
def original() -> tuple[np.ndarray, np.ndarray]:
    """Those of the pipeline itself."""
    return drawn(FOLDER, {})


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_draws_another_image(
    variant: str, original: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image, attention = original
    load = {"folder": FOLDER, **VARIANTS[variant]}
    other, other_attention = drawn(f"diffusion_probe.reference.pipelines.variants:{variant}", load)
    assert other.shape == image.shape
    assert other_attention.shape == attention.shape
    assert not np.array_equal(other, image)
    assert not np.array_equal(other_attention, attention)
    again, _ = drawn(f"diffusion_probe.reference.pipelines.variants:{variant}", load)  # the trained weights are kept
    np.testing.assert_array_equal(again, other)
