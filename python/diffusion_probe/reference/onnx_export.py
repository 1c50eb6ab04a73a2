"""Exports backbone and reward to ONNX, so that Node can generate and score images without Python."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..fingerprint import fingerprint
from ..probe.manifest import sha256_of
from ..probe.onnx_export import export_graph
from .backbone import Denoiser
from .rectified_flow import GUIDANCE, SHIFT, STEPS
from .source import ReferenceSource, grid_maps
from .vocabulary import BEGIN_ID, MAX_TOKENS, PAD_ID, VOCABULARY

TOKEN_INPUTS = ("input_ids", "text_mask", "text")  # their second axis counts tokens


class DenoiserGraph(nn.Module):
    """The denoiser with its attention maps pooled to the probe's grid, without the begin token."""

    def __init__(self, denoiser: Denoiser, grid: int):
        super().__init__()
        self.denoiser, self.grid = denoiser, grid

    def forward(self, latents: Tensor, timestep: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        velocity, maps = self.denoiser(latents, timestep, text, text_mask)
        return velocity, grid_maps(maps, self.grid)


def export_reference(source: ReferenceSource, folder: Path) -> None:
    """Write text_encoder.onnx, backbone.onnx, reward.onnx and reference.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = source.backbone.config
    batch = torch.export.Dim("batch", min=1, max=1024)
    tokens = torch.export.Dim("tokens", min=2, max=MAX_TOKENS)
    size = config.image_size
    ids = torch.full((3, 5), BEGIN_ID, dtype=torch.int64)
    mask = torch.ones(3, 5, dtype=torch.uint8)
    pixels = torch.zeros(3, 3, size, size)
    text = torch.zeros(3, 5, config.text_width)
    graphs = {
        "text_encoder": (source.backbone.text_encoder, {"input_ids": ids, "text_mask": mask}, ["text"]),
        "backbone": (
            DenoiserGraph(source.backbone.denoiser, source.capture.height),
            {"latents": pixels, "timestep": torch.ones(3), "text": text, "text_mask": mask},
            ["velocity", "attention"],
        ),
        "reward": (source.reward, {"image": pixels, "input_ids": ids}, ["quality"]),
    }
    for name, (module, inputs, outputs) in graphs.items():
        axes = tuple({0: batch, 1: tokens} if key in TOKEN_INPUTS else {0: batch} for key in inputs)
        export_graph(module, tuple(inputs.values()), list(inputs), outputs, axes, folder / f"{name}.onnx", compact=True)
    description = {
        "vocabulary": list(VOCABULARY[: config.vocabulary]),
        "pad_id": PAD_ID,
        "begin_id": BEGIN_ID,
        "max_tokens": MAX_TOKENS,
        "image": [3, size, size],
        "steps": STEPS,
        "shift": SHIFT,
        "guidance": GUIDANCE,
        "good_at": source.metric.good_at,
        "backbone": asdict(config),
        "reader_width": source.reward.reader.width,
        "capture": asdict(source.capture),
        "capture_id": source.capture.capture_id,
        "conditions": source.conditions,
        "conditions_id": fingerprint(source.conditions),
        "files": {name: sha256_of(folder / name) for name in (f"{graph}.onnx" for graph in graphs)},
    }
    (folder / "reference.json").write_text(json.dumps(description, indent=2) + "\n")
