"""The autoencoders: normalised latents, and the same normalisation as the pipelines' own."""

from __future__ import annotations

import torch

from diffusion_probe.reference.pipelines.autoencoder import MEASURED_SCENES, decode, encode, training_images
from diffusion_probe.reference.pipelines.quality import STEPS
from diffusion_probe.reference.scenes import SIZE

from .conftest import Trained

CAPTION = "a cat on a blue background"


def test_latents_have_mean_0_and_standard_deviation_1(trained: Trained) -> None:
    vae = trained.pipe.vae
    latents = encode(vae, training_images(0, -1, MEASURED_SCENES))
    assert latents.shape == (MEASURED_SCENES, latents.shape[1], SIZE // 4, SIZE // 4)
    assert abs(float(latents.mean())) < 1e-3
    assert abs(float(latents.std()) - 1) < 1e-2


def test_the_pipeline_decodes_latents_as_training_does(trained: Trained) -> None:
    pipe = trained.pipe
    arguments = {**trained.recipe.call, "prompt": CAPTION, "num_inference_steps": STEPS}
    latents, image = (
        pipe(**arguments, output_type=kind, generator=torch.Generator().manual_seed(0)).images for kind in ("latent", "pt")
    )
    if hasattr(pipe, "_unpack_latents"):
        latents = pipe._unpack_latents(latents, SIZE, SIZE, pipe.vae_scale_factor)
        latents = latents[:, :, 0] if latents.ndim == 5 else latents
    assert torch.allclose((decode(pipe.vae, latents) + 1) / 2, torch.as_tensor(image), atol=1e-4)
