"""Load a pipeline of diffusers by its ID, its folder, or a function that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from ..metrics.registry import user_function

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def name_of(pipeline: str) -> str:
    """The ID of a pipeline, or the name of its folder."""
    return Path(pipeline).resolve().name if Path(pipeline).exists() else pipeline


def load_pipeline(pipeline: str, device: torch.device, dtype: str | None, load: Mapping[str, Any]) -> Any:
    """The pipeline, on the device. `pipeline`: an ID or a folder that diffusers loads, or `module:function` that returns one.

    `load`: further arguments of either. Raises ValueError where it cannot be loaded, and for a `dtype` beside a function.
    """
    if ":" in pipeline and not Path(pipeline).exists():
        if dtype is not None:
            raise ValueError(f"--dtype {dtype} is for an ID or a folder: {pipeline} decides the dtype of its pipeline")
        pipe = user_function(pipeline, "pipeline")(**load)
        if not isinstance(pipe, DiffusionPipeline):
            raise ValueError(f"{pipeline} returned a {type(pipe).__name__}: expected a pipeline of diffusers")
    else:
        dtype = dtype or ("float32" if device.type == "cpu" else "bfloat16")
        try:
            pipe = DiffusionPipeline.from_pretrained(pipeline, dtype=DTYPES[dtype], **load)
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ValueError(f"the pipeline {pipeline} cannot be loaded: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)
