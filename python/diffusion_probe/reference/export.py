"""Export of the reference world to ONNX, so that Node can draw, capture and judge without Python."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..probe.manifest import sha256_of
from ..probe.onnx_graph import export_graph
from .backbone import Denoiser
from .flow import GUIDANCE, SHIFT, STEPS
from .language import BEGIN_ID, MAX_TOKENS, PAD_ID, VOCABULARY
from .source import GRID, ReferenceSource, grid_maps

FILES = ("text_encoder.onnx", "backbone.onnx", "reward.onnx")


class DenoiserGraph(nn.Module):
    """The denoiser with its attention brought to the probe's grid, begin token left out."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, latents: Tensor, timestep: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        velocity, maps = self.denoiser(latents, timestep, text, text_mask)
        return velocity, grid_maps(maps, GRID)


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
    export_graph(
        source.backbone.text_encoder,
        (ids, mask),
        ["input_ids", "text_mask"],
        ["text"],
        ({0: batch, 1: tokens}, {0: batch, 1: tokens}),
        folder / "text_encoder.onnx",
        compact=True,
    )
    export_graph(
        DenoiserGraph(source.backbone.denoiser),
        (pixels, torch.ones(3), torch.zeros(3, 5, config.text_width), mask),
        ["latents", "timestep", "text", "text_mask"],
        ["velocity", "attention"],
        ({0: batch}, {0: batch}, {0: batch, 1: tokens}, {0: batch, 1: tokens}),
        folder / "backbone.onnx",
        compact=True,
    )
    export_graph(
        source.reward,
        (pixels, ids),
        ["image", "input_ids"],
        ["quality"],
        ({0: batch}, {0: batch, 1: tokens}),
        folder / "reward.onnx",
        compact=True,
    )
    description = {
        "vocabulary": list(VOCABULARY),
        "pad_id": PAD_ID,
        "begin_id": BEGIN_ID,
        "max_tokens": MAX_TOKENS,
        "image": [3, size, size],
        "steps": STEPS,
        "shift": SHIFT,
        "guidance": GUIDANCE,
        "good_at": source.metric.good_at,
        "backbone": config.as_dict(),
        "reader_width": source.reward.reader.width,
        "capture": asdict(source.capture),
        "capture_id": source.capture.capture_id,
        "files": {name: sha256_of(folder / name) for name in FILES},
    }
    (folder / "reference.json").write_text(json.dumps(description, indent=2) + "\n")
