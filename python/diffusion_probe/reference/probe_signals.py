"""The further inputs that a probe declares, in the form in which probes of the reference world are trained on them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from .rectified_flow import StepOutput
from .source import to_bytes


def declared_signals(output: StepOutput, token_ids: np.ndarray, declared: Collection[str]) -> dict[str, np.ndarray]:
    """Those of a step. `token_ids`: int64 [batch, tokens], without the begin token. `declared`: names of the probe's inputs."""
    signals = {
        "token_ids": lambda: token_ids,
        "guidance_difference": lambda: output.guidance_difference.numpy(),
        "preview": lambda: (to_bytes(output.preview).float() / 127.5 - 1).to(torch.float16).numpy(),
    }
    return {name: value() for name, value in signals.items() if name in declared}
