"""The exported reference world computes what the trained one computes."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from diffusion_probe.probe.manifest import sha256_of
from diffusion_probe.reference.backbone import pad_ids, text_mask_of
from diffusion_probe.reference.captions import tokenize
from diffusion_probe.reference.onnx_import import load_onnx_backbone, load_onnx_reward
from diffusion_probe.reference.source import ReferenceSource, grid_maps
from diffusion_probe.reference.train_backbone import load_backbone
from diffusion_probe.reference.train_reward import load_reward
from diffusion_probe.reference.vocabulary import VOCABULARY

CAPTIONS = ["a cat on a blue background", "two dogs left of an owl on a grey background"]


def run(path, **feeds: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in feeds.items()})


@pytest.mark.parametrize("captions", [CAPTIONS, CAPTIONS[:1]], ids=["two", "one"])
def test_the_graphs_compute_what_pytorch_computes(world, captions: list[str]) -> None:
    backbone, reward = load_onnx_backbone(world.reference), load_onnx_reward(world.reference)
    ids = pad_ids([tokenize(caption) for caption in captions], length=11)
    mask = text_mask_of(ids)
    latents = torch.randn(len(captions), 3, 64, 64)
    timestep = torch.full((len(captions),), 640.0)
    with torch.no_grad():
        text = backbone.text_encoder(ids, mask)
        velocity, maps = backbone.denoiser(latents, timestep, text, mask)
        quality = reward(latents.clamp(-1, 1), ids)
    (exported_text,) = run(world.reference / "text_encoder.onnx", input_ids=ids, text_mask=mask)
    assert exported_text == pytest.approx(text.numpy(), abs=1e-4)
    exported = run(world.reference / "backbone.onnx", latents=latents, timestep=timestep, text=text, text_mask=mask)
    assert exported[0] == pytest.approx(velocity.numpy(), abs=1e-3)
    assert exported[1] == pytest.approx(grid_maps(maps, 8).numpy(), abs=1e-4)
    (exported_quality,) = run(world.reference / "reward.onnx", image=latents.clamp(-1, 1), input_ids=ids)
    assert exported_quality == pytest.approx(quality.numpy(), abs=1e-4)


def test_weights_are_read_back_in_float16_precision(world) -> None:
    for trained, restored in (
        (load_backbone(world.backbone), load_onnx_backbone(world.reference)),
        (load_reward(world.reward), load_onnx_reward(world.reference)),
    ):
        for name, value in trained.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.allclose(value.float(), restored.state_dict()[name].float(), rtol=1e-3, atol=1e-6), name


def test_the_description_lists_vocabulary_files_and_capture_id(world) -> None:
    description = json.loads((world.reference / "reference.json").read_text())
    assert description["vocabulary"] == list(VOCABULARY)
    assert description["files"] == {name: sha256_of(world.reference / name) for name in description["files"]}
    assert set(description["files"]) == {"text_encoder.onnx", "backbone.onnx", "reward.onnx"}
    assert description["capture_id"] == ReferenceSource.load(world.reference).capture.capture_id


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="reference export"):
        ReferenceSource.load(tmp_path)
