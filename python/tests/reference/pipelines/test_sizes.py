"""The pipelines at full size: what the repository can hold, and what attention has to offer a probe."""

from __future__ import annotations

import pytest
import torch

from diffusion_probe.families import text_layers
from diffusion_probe.reference.pipelines import RECIPES

LARGEST_FOLDER = 16e6  # bytes of 16-bit weights
DENOISER = (3e6, 6e6)  # parameters


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_a_pipeline_is_small_and_has_several_layers_of_attention_to_text(name: str) -> None:
    recipe = RECIPES[name]
    pipe = recipe.build(recipe.sizes)
    low, high = DENOISER
    assert low <= parameters(getattr(pipe, recipe.trained[0])) <= high
    modules = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    assert 2 * sum(parameters(module) for module in modules) < LARGEST_FOLDER
    assert len(text_layers(pipe)) >= 6
