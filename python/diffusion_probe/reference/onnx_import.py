"""Loads backbone and reward from the ONNX files of an exported folder; their weights kept their names there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from .backbone import Backbone, BackboneConfig
from .reward import Detector, Reward

HALF_SUFFIX = ".half"


def load_onnx_backbone(folder: Path) -> Backbone:
    """The backbone of an exported folder. Raises FileNotFoundError without a reference.json."""
    description = read_description(folder)
    config = {"vocabulary": len(description["vocabulary"]), **description["backbone"]}  # older folders do not hold it twice
    backbone = Backbone(BackboneConfig(**config))
    _load_weights(backbone.text_encoder, folder / "text_encoder.onnx")
    _load_weights(backbone.denoiser, folder / "backbone.onnx", prefix="denoiser.")
    return backbone.to(memory_format=torch.channels_last).eval()


def load_onnx_reward(folder: Path) -> Reward:
    """The reward of an exported folder. Raises FileNotFoundError without a reference.json."""
    reward = Reward(Detector(read_description(folder)["reader_width"]))
    _load_weights(reward.reader, folder / "reward.onnx", prefix="reader.")  # the tables of words are not trained
    return reward.to(memory_format=torch.channels_last).eval()


def read_description(folder: Path) -> dict:
    """The contents of reference.json. Raises FileNotFoundError without one."""
    path = folder / "reference.json"
    if not path.exists():
        raise FileNotFoundError(f"no reference.json in {folder}: run 'diffusion-probe reference export' first")
    return json.loads(path.read_text())


def _load_weights(module: nn.Module, path: Path, prefix: str = "") -> None:
    """Load the graph's weights. The batch counters of batch normalisation, unused in inference, may be absent."""
    weights: dict[str, Tensor] = {}
    for weight in onnx.load(path).graph.initializer:
        name = weight.name.removesuffix(HALF_SUFFIX).removeprefix(prefix)
        values = onnx.numpy_helper.to_array(weight)
        weights[name] = torch.from_numpy(np.array(values, np.float32 if values.dtype == np.float16 else values.dtype))
    state = module.state_dict()
    absent = [name for name in state if name not in weights and not name.endswith("num_batches_tracked")]
    if absent:
        raise ValueError(f"{path} lacks {', '.join(absent[:3])} and {max(0, len(absent) - 3)} more weights")
    module.load_state_dict({name: weights.get(name, value) for name, value in state.items()})
