"""Load a pipeline of diffusers by its ID or folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def name_of(pipeline: str) -> str:
    """The ID of a pipeline, or the name of its folder."""
    return Path(pipeline).resolve().name if Path(pipeline).exists() else pipeline


def load_pipeline(pipeline: str, device: torch.device, dtype: str | None, load: Mapping[str, Any]) -> Any:
    """The pipeline, loaded by diffusers, on the device. Raises ValueError where diffusers cannot load it."""
    dtype = dtype or ("float32" if device.type == "cpu" else "bfloat16")
    try:
        pipe = DiffusionPipeline.from_pretrained(pipeline, dtype=DTYPES[dtype], **load)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the pipeline {pipeline} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)
