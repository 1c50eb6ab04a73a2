"""Metrics by name: a function of the user, CLIP on a tiny model, and the error for a package that is missing.

Tests have no network, so the published weights are not loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from diffusion_probe.metrics.quality import QualityEvaluator
from diffusion_probe.metrics.registry import METRICS, clip, load_metric
from diffusion_probe.tiny.encoders import CLIP_LENGTH
from diffusion_probe.tiny.tokenizers import VOCABULARY, clip_tokenizer

OPTIONAL_PACKAGES = {"imagereward": "ImageReward", "hpsv2": "hpsv2", "aesthetic": "aesthetics_predictor"}
IMAGES = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
PROMPTS = ["a cat", "two red dog"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user in the working directory."""
    (tmp_path / "taste.py").write_text("def length(images, prompts):\n    return [len(prompt) for prompt in prompts]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "taste"


def test_a_function_of_the_user_is_a_metric(own: str) -> None:
    quality = QualityEvaluator(load_metric(f"{own}:length", "cpu"))(IMAGES, PROMPTS)
    assert quality.dtype == np.float32
    assert quality.tolist() == [5.0, 11.0]


def test_the_error_names_the_missing_module_or_function(own: str) -> None:
    with pytest.raises(ValueError, match="taste has no function 'width'"):
        load_metric(f"{own}:width", "cpu")
    with pytest.raises(ValueError, match="no module distaste"):
        load_metric("distaste:length", "cpu")
    with pytest.raises(ValueError, match="expected one of imagereward, hpsv2, clip, aesthetic, pickscore, or module:function"):
        load_metric("beauty", "cpu")


@pytest.mark.parametrize("name", [name for name, package in OPTIONAL_PACKAGES.items() if not importlib.util.find_spec(package)])
def test_the_error_for_a_missing_package_says_what_to_install(name: str) -> None:
    with pytest.raises(ValueError, match=f"pip install {METRICS[name].packages}"):
        load_metric(name, "cpu")


def test_clip_is_100_times_the_cosine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CLIP_LENGTH,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    config = CLIPConfig(
        text_config={**tower, **ids}, vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=8
    )
    model = CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = CLIPProcessor(CLIPImageProcessor(**sizes), clip_tokenizer(CLIP_LENGTH))
    processor.save_pretrained(tmp_path)
    scores = clip("cpu", str(tmp_path))(IMAGES, PROMPTS)
    with torch.no_grad():
        for image, prompt, score in zip(IMAGES, PROMPTS, scores, strict=True):
            seen = model.get_image_features(**processor(images=image, return_tensors="pt")).pooler_output
            read = model.get_text_features(**processor(text=prompt, return_tensors="pt")).pooler_output
            assert score == pytest.approx(100 * float(torch.cosine_similarity(seen, read)), abs=1e-3)
    assert scores[0] != scores[1]


def test_a_failure_on_one_image_does_not_affect_the_others() -> None:
    def picky(images, prompts):
        if "a cat" in prompts:
            raise OSError("no cats")
        return [0.25] * len(images)

    evaluator = QualityEvaluator(picky)
    assert evaluator(IMAGES, PROMPTS).tolist() == pytest.approx([np.nan, 0.25], nan_ok=True)
    assert (evaluator.failed, evaluator.first_failure) == (1, "OSError: no cats")
