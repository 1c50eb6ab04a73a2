"""Pipelines of the smallest sizes, trained for a moment: what they draw is noise, that everything fits is tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from diffusion_probe.reference.onnx_import import load_onnx_reward
from diffusion_probe.reference.pipelines import RECIPES
from diffusion_probe.reference.pipelines.recipe import Recipe, Sizes
from diffusion_probe.reference.pipelines.train import Training, save_pipeline, train_pipeline
from diffusion_probe.reference.reward import Reward

SHIPPED = Path(__file__).parents[4] / "reference"
TINY = Sizes(denoiser=32, blocks=1, text=32, autoencoder=8)
TRAINING = Training(steps=4, autoencoder_steps=2, batch=4, autoencoder_batch=4, sheet_captions=2, save_every=2, milestones=(2,))


class Trained(NamedTuple):
    """A pipeline that was trained without an interruption, and where its files are."""

    recipe: Recipe
    pipe: Any
    folder: Path  # of the training
    saved: Path  # of the pipeline


@pytest.fixture(scope="session")
def reward() -> Reward:
    return load_onnx_reward(SHIPPED)


@pytest.fixture
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trains pipelines of the smallest sizes."""
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, replace(recipe, sizes=TINY))


@pytest.fixture(scope="session", params=list(RECIPES))
def trained(request: pytest.FixtureRequest, reward: Reward, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    recipe, folder = RECIPES[request.param], tmp_path_factory.mktemp(request.param)
    pipe = train_pipeline(recipe, folder, TRAINING, reward, TINY)
    save_pipeline(train_pipeline(recipe, folder, TRAINING, reward, TINY), folder / "pipeline")
    return Trained(recipe, pipe, folder, folder / "pipeline")
