"""The command `reference train-pipeline`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from .options import REFERENCE, RUNS, add_command, positive, positive_count

NAMES = ("sdxl", "flux", "qwen")


def add_train_pipeline_command(parts: argparse._SubParsersAction) -> None:
    text = "train a small pipeline of diffusers on the scenes: Stable Diffusion XL, FLUX.1 or Qwen-Image (hours on two cores)"
    one = add_command(parts, "train-pipeline", _train_pipeline, text, "--seed", "--fresh")
    one.add_argument("name", choices=NAMES, help="the family of the pipeline")
    length = one.add_mutually_exclusive_group()
    steps = "optimizer steps of the denoiser, one batch of 64 each (default: those of the pipeline, 6000 or 7000)"
    length.add_argument("--training-steps", type=positive_count, help=steps)
    minutes = "train the denoiser for about so long: sets the steps by the speed of the first ones (default: --training-steps)"
    length.add_argument("--minutes", type=positive, help=minutes)
    text = "optimizer steps of the autoencoder, one batch of 32 each, before the denoiser's"
    one.add_argument("--autoencoder-steps", type=positive_count, default=1500, help=text)
    text = "multiply matrices in bfloat16: faster on processors with AVX512-BF16 or AMX"
    one.add_argument("--bfloat16", action="store_true", help=text)
    text = f"folder of checkpoints, sheets and quality.json, resumed if it exists (default: {RUNS}/pipelines/NAME)"
    one.add_argument("--folder", type=Path, help=text)
    one.add_argument("--out", type=Path, help="folder to write the pipeline to (default: 'pipeline' in --folder)")
    one.add_argument("--captions", type=positive_count, default=64, help="held-out captions by which the quality is measured")
    one.add_argument("--seeds", type=positive_count, default=8, help="images of each of them")
    one.add_argument("--reference", type=Path, default=REFERENCE, help="folder of the exported reference world, for its reward")


def _train_pipeline(options: argparse.Namespace) -> None:
    from ..reference.onnx_import import load_onnx_reward
    from ..reference.pipelines import RECIPES
    from ..reference.pipelines.quality import measure_quality
    from ..reference.pipelines.train import Training, save_pipeline, train_pipeline

    if options.seeds < 2:
        raise ValueError("--seeds 1: the variance within captions needs at least 2 images of each")
    recipe = RECIPES[options.name]
    reward = load_onnx_reward(options.reference)
    folder = options.folder or RUNS / "pipelines" / recipe.name
    training = Training(
        steps=options.training_steps,
        minutes=options.minutes,
        autoencoder_steps=options.autoencoder_steps,
        seed=options.seed,
        fresh=options.fresh,
        bfloat16=options.bfloat16,
    )
    pipe = train_pipeline(recipe, folder, training, reward)
    quality = measure_quality(pipe, recipe.call, options.captions, options.seeds, recipe.sentences, reward)
    (folder / "quality.json").write_text(json.dumps(asdict(quality), indent=2) + "\n")
    print(quality.text())
    save_pipeline(pipe, options.out or folder / "pipeline")
    print(f"{options.out or folder / 'pipeline'}: call it with --call '{json.dumps(dict(recipe.call))}'")
